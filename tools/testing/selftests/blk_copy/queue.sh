#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What stands between a copy and its device: schedulers, merging, throttling,
# cgroups, priorities.

# shellcheck source=tools/testing/selftests/blk_copy/lib.sh
. "$(dirname "$0")/lib.sh"

M=$((1 << 20))
D0=/dev/d0
D1=/dev/d1
CGROUP=/sys/fs/cgroup/blk_copy_test

# number DEVICE: MAJOR:MINOR
number()
{
	stat -Lc %Hr:%Lr "$1"
}

# --------------------------------------------------- schedulers, merging

# Many copies that a careless queue would merge, from several processes, with
# reads and writes in between.
mixed_load()
{
	local dev=$1 i pids=()

	pattern fill "$dev" 1
	for i in 0 1 2 3; do
		seq 0 49 | while read -r n; do
			echo "0 4096 4096|-f n $dev $((8 * M + (i * 50 + n) * 4096)) $(((i * 50 + n) * 4096)):4K"
		done | rawcopy -t &
		pids+=($!)
	done
	pattern check -l 4M "$dev" 1 &
	pids+=($!)
	pattern fill -o 12M -l 1M "$dev" 3 &
	pids+=($!)
	for i in "${pids[@]}"; do
		wait "$i"
	done
}

under_load()
{
	local dev=$1

	counting "$dev" mixed_load "$dev"
	did 200 200
	pattern check "$dev" 1 @8M:1 0:800K @12M:3 12M:1M
	counting "$dev" want "0 $((3 * M)) $((3 * M))" rawcopy -f n "$dev" 8M 1M:1M 0:1M 3M:1M
	did 1 3
	queue "$dev" copy_max_bytes 0
	want "0 $((3 * M)) 0" rawcopy "$dev" 4M 1M:1M 0:1M 3M:1M
	pattern check "$dev" 1 @8M:1 1M:1M 0:1M 3M:1M @12M:3 12M:1M @4M:1 1M:1M 0:1M 3M:1M
}

scheduler()
{
	case $1 in
	kyber) modprobe kyber-iosched ;;
	bfq) modprobe bfq ;;
	esac
	if [ "$2" = "$D0" ]; then
		make_null d0 size=16 hw_queue_depth=4
	fi
	set_queue "$2" copy_max_bytes 16777216
	set_queue "$2" scheduler "$1"
	[[ $(queue "$2" scheduler) == *"[$1]"* ]]
	under_load "$2"
}

no_merges()
{
	make_null d0 size=16
	queue "$D0" scheduler mq-deadline
	queue "$D0" nomerges "$1"
	under_load "$D0"
}

for S in none mq-deadline kyber bfq; do
	prove "scheduler $S, null_blk" scheduler "$S" "$D0"
done
prove "nomerges 2" no_merges 2

# Nothing but the order of things may depend on these.
latency_control()
{
	local controller=$1

	make_null d0 size=16 irqmode=2 completion_nsec=20000
	queue "$D0" scheduler none
	queue "$D0" wbt_lat_usec 2000
	case $controller in
	io.cost.qos)
		echo "$(number "$D0") enable=1 ctrl=user rpct=0 wpct=0 min=100 max=10000" \
			>"/sys/fs/cgroup/$controller"
		defer eval "echo '$(number "$D0") enable=0' >/sys/fs/cgroup/$controller"
		;;
	io.latency)
		make_cgroup
		echo "$(number "$D0") target=50000" >"$CGROUP/$controller"
		enter_cgroup
		;;
	esac
	under_load "$D0"
}

# ----------------------------------------------------------------- cgroups

leave_cgroup()
{
	echo $$ >/sys/fs/cgroup/cgroup.procs
	echo "$BASHPID" >/sys/fs/cgroup/cgroup.procs
	rmdir "$CGROUP"
}

make_cgroup()
{
	echo +io >/sys/fs/cgroup/cgroup.subtree_control
	mkdir "$CGROUP"
	defer leave_cgroup
}

# The rest of the test runs in the cgroup.
enter_cgroup()
{
	echo "$BASHPID" >"$CGROUP/cgroup.procs"
}

# in_cgroup COMMAND...: only this
in_cgroup()
{
	(
		enter_cgroup
		exec "$@"
	)
}

# charged CGROUP DEVICE: bytes and requests, read and written
charged()
{
	awk -v dev="$(number "$2")" '$1 == dev {
		for (i = 2; i <= NF; i++) {
			split($i, w, "=")
			v[w[1]] = w[2]
		}
	} END { print v["rbytes"] + 0, v["wbytes"] + 0 }' "$1/io.stat"
}

# A copy is charged to whoever asked for it, as read and as written, because that
# is what the device does, whichever way it is made.
io_stat()
{
	make_null d0 size=64
	make_null d1 size=64
	pattern fill "$D0" 1
	exec 8<>"$D0" 9<>"$D1"
	make_cgroup
	device_did "$D0" 1 1 want "0 $M $M" in_cgroup rawcopy -f n "$D0" 32M 0:1M
	is "$(charged "$CGROUP" "$D0")" "$M $M" "bytes charged for offload"
	want "0 0 $M" in_cgroup rawcopy -f d "$D0" 32M 0:1M
	is "$(charged "$CGROUP" "$D0")" "$M $M" "bytes charged after a dry run"
	want "0 $((20 * M)) 0" in_cgroup rawcopy -s "$D0" "$D1" 0 0:20M
	is "$(charged "$CGROUP" "$D0")" "$((21 * M)) $M" "bytes charged to the source"
	is "$(charged "$CGROUP" "$D1")" "0 $((20 * M))" "bytes charged to the destination"
}

# The lengths of the tokens that were sent
tokens()
{
	trace 'blk_copy_token:' | sed 's/.* len \([0-9]*\) .*/\1/' | sort -n | uniq -c |
		awk '{ print $1 "x" $2 }' | paste -sd' '
}

# A limit that is never reached makes chunks small: throttling works by bio.
throttled()
{
	make_null d0 size=64
	pattern fill "$D0" 1
	start_trace blk_copy:blk_copy_token
	device_did "$D0" 1 1 want "0 $((7 * M)) $((7 * M))" rawcopy -f n "$D0" 32M 0:7M
	is "$(tokens)" "1x$((7 * M))"
	make_cgroup
	echo "$(number "$D0") $1=$2" >"$CGROUP/io.max"
	echo >"$TRACING/trace"
	counting "$D0" want "0 $((7 * M)) $((7 * M))" in_cgroup rawcopy -f n "$D0" 40M 0:7M
	is "$(tokens)" "1x$M 3x$((2 * M))"
	did 4 4
	queue "$D0" copy_max_bytes 0
	want "0 $((7 * M)) 0" in_cgroup rawcopy "$D0" 48M 0:7M
	pattern check "$D0" 1 @32M:1 0:7M @40M:1 0:7M @48M:1 0:7M
}

# One that is reached: throttled bios wait behind the gate, which is closed
# meanwhile.  A copy that is over by then does not count.
throttled_hard()
{
	local end=$((SECONDS + 60)) closed=0 commands

	make_null d0 size=64
	pattern fill "$D0" 1
	exec 8<>"$D0"
	make_cgroup
	echo "$(number "$D0") wbps=$((8 * M / ${SLOWER:-1}))" >"$CGROUP/io.max"
	device_did "$D0" 3 3 want "0 $((5 * M)) $((5 * M))" in_cgroup rawcopy -f n "$D0" 32M 0:5M
	while [ "$closed" -eq 0 ]; do
		[ "$SECONDS" -lt "$end" ] || fail "no copy met the closed gate"
		counting "$D0" close_gate
		commands=$DID_COMMANDS
		is "$commands" "$(((COPIED + 2 * M - 1) / (2 * M)))" "commands for $COPIED bytes"
		[ "$ERROR" = 0 ] || closed=1
		queue "$D0" copy_max_bytes $((16 * M))
	done
	is "$ERROR" EOPNOTSUPP
	[ "$COPIED" -lt $((10 * M)) ]
	pattern check "$D0" 1 @32M:1 0:5M "@40M:1:$COPIED" 0:10M
}

# A dry run moves nothing: by bytes it would take a quarter of an hour.
throttled_dry_run()
{
	make_null d0 size=4096
	exec 8<>"$D0"
	make_cgroup
	echo "$(number "$D0") $1=$M" >"$CGROUP/io.max"
	counting "$D0" want "0 0 $((1024 * M))" in_cgroup timeout -s KILL 120 \
		rawcopy -f nd "$D0" 2G 0:1G
	did 0 0
}

# ----------------------------------------------------------------- iocost

# usage: microseconds of the disk that the cgroup was charged for
usage()
{
	sed -n "s/^$(number "$D0") .*cost.usage=\([0-9]*\).*/\1/p" "$CGROUP/io.stat"
}

usage_is_about()
{
	local have

	have=$(usage)
	[ -n "$have" ] && [ "$have" -ge $(($1 * 99 / 100)) ]
}

# charged_about MICROSECONDS: now, and no more than that, because what was charged
# before is in it as well
charged_about()
{
	local have

	wait_for usage_is_about "$1"
	have=$(usage)
	echo "charged $have us, should be $1 us"
	[ "$have" -le $(($1 * 101 / 100)) ]
}

# A disk that reads and writes 1 GB/s: a page takes 4.096 us in either direction, an
# operation alone nothing.
iocost()
{
	make_null d0 size=64
	pattern fill "$D0" 1
	exec 8<>"$D0"
	defer eval "echo '$(number "$D0") enable=0' >/sys/fs/cgroup/io.cost.qos"
	echo "$(number "$D0") ctrl=user model=linear rbps=1000000000 wbps=1000000000" \
		"rseqiops=1000000 rrandiops=1000000 wseqiops=1000000 wrandiops=1000000" \
		>/sys/fs/cgroup/io.cost.model
	echo "$(number "$D0") enable=1 ctrl=user rpct=0 wpct=0 min=100 max=100" \
		>/sys/fs/cgroup/io.cost.qos
	make_cgroup
	"$@"
	pattern check "$D0" 1 @32M:1 0:16M
}

# What a copy costs: its bytes once read, once written, whatever it is cut into.
cost_of_copies()
{
	device_did "$D0" 1 1 want "0 $((16 * M)) $((16 * M))" in_cgroup rawcopy -f n "$D0" 32M 0:16M
	charged_about 33554
	queue "$D0" copy_max_bytes "$M"
	device_did "$D0" 16 16 want "0 $((16 * M)) $((16 * M))" in_cgroup rawcopy -f n "$D0" 32M 0:16M
	charged_about 67109
	# As much as reading and writing
	queue "$D0" copy_max_bytes 0
	want "0 $((16 * M)) 0" in_cgroup rawcopy "$D0" 32M 0:16M
	charged_about 100663
}

# A copy behind them shows that everything up to it has been counted.
cost_of_dry_runs()
{
	local i

	for i in 1 2 3 4; do
		device_did "$D0" 0 0 want "0 0 $((16 * M))" in_cgroup rawcopy -f nd "$D0" 32M 0:16M
	done
	device_did "$D0" 1 1 want "0 $((16 * M)) $((16 * M))" in_cgroup rawcopy -f n "$D0" 32M 0:16M
	charged_about 33554
}

# Sets ERROR and COPIED.
close_gate()
{
	local charged pid offloaded

	pattern fill -o 40M -l 10M "$D0" 1
	charged=$(charged "$CGROUP" "$D0")
	in_cgroup rawcopy -f n "$D0" 40M 0:10M >"$TMP/result" &
	pid=$!
	wait_for some_charged "${charged#* }"
	queue "$D0" copy_max_bytes 0
	wait "$pid" || :
	cat "$TMP/result"
	read -r ERROR COPIED offloaded <"$TMP/result"
	is "$offloaded" "$COPIED"
}

some_charged()
{
	local charged

	charged=$(charged "$CGROUP" "$D0")
	[ "${charged#* }" -gt "$1" ]
}

for C in io.cost.qos io.latency; do
	prove "copies under $C and wbt" latency_control "$C"
done
prove "io.stat charges the cgroup of the caller" io_stat
prove "wbps makes chunks of 2 MiB" throttled wbps 10000000000
prove "rbps makes chunks of 2 MiB" throttled rbps 10000000000
prove "a throttled copy survives a limit that closes" throttled_hard
prove "a dry run is not throttled by wbps" throttled_dry_run wbps
prove "a dry run is not throttled by rbps" throttled_dry_run rbps

# -------------------------------------------------------------- priorities

# Of the caller, in requests of either kind
ioprio()
{
	make_null d0 size=16
	queue "$D0" scheduler mq-deadline
	start_trace block:block_rq_issue
	device_did "$D0" 1 1 want "0 $M $M" ionice -c 1 -n 3 rawcopy -f n "$D0" 8M 0:1M
	queue "$D0" copy_max_bytes 0
	want "0 4096 0" ionice -c 3 rawcopy "$D0" 8M 4M:4K
	trace
	is "$(trace 'CO .* 16384 \+ 2048 rt,0,3' | wc -l)" 1 "COPY_OUTs with priority rt/3"
	is "$(trace 'R[A-Z]* .* 8192 \+ 8 idle,0,7' | wc -l)" 1 "idle reads"
	is "$(trace 'W[A-Z]* .* 16384 \+ 8 idle,0,7' | wc -l)" 1 "idle writes"
}

prove "priority is that of the caller" ioprio

# Last: lockdep of 7.3 has a complaint of its own about io.latency and io.cost.qos in
# one boot (log-filter), and is silent behind it.
prove "iocost charges a copy for what is read and written" iocost cost_of_copies
prove "iocost charges nothing for a dry run" iocost cost_of_dry_runs

finish
