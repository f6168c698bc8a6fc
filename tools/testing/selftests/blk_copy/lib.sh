# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the tests of this directory share.  A test file looks like this:
#
#	. "$(dirname "$0")/lib.sh"
#
#	copies_all()
#	{
#		make_null d0 size=64
#		pattern fill /dev/d0 1
#		want "0 1048576 1048576" rawcopy -f n /dev/d0 32M 0:1M
#		pattern check /dev/d0 1 @32M:1 0:1M
#	}
#	prove "a copy inside null_blk is offloaded" copies_all
#	finish
#
# A test is a function that runs in a subshell of its own: the first command that
# fails ends it and is shown, as with "set -e" (so, as there, not inside if, &&
# or ||).  What it makes it registers with defer, and is undone in reverse order
# however it ends.  Output of a test is shown only if it fails.
#
# Programs: rawcopy, rawcopy32, uring, crange and pattern print their usage without
# arguments.

set -u
TMP=$(mktemp -d /tmp/blk_copy.XXXXXX)
KTAP_N=0
KTAP_FAILED=0
DEFERRED=()
NULLB=/sys/kernel/config/nullb
TRACING=/sys/kernel/tracing
DEBUG=/sys/kernel/debug/blk_copy
# make tools puts the programs here; PATH has it in the VM already.
[ -z "${BUILD:-}" ] || PATH=$BUILD:$PATH

# DOOR=uring in the environment: rawcopy copies by io_uring instead of the ioctl.

# ------------------------------------------------------------------- KTAP

# defer COMMAND...: run it when the test, or the file, ends.
defer()
{
	DEFERRED+=("$(printf '%q ' "$@")")
}

# forget_deferred: leave all as it is, where undoing it would hang.
forget_deferred()
{
	DEFERRED=()
}

undo()
{
	local i

	set +e
	trap - ERR
	# What a test keeps open, so that nothing is busy
	exec 8>&- 9>&-
	for ((i = ${#DEFERRED[@]} - 1; i >= 0; i--)); do
		eval "${DEFERRED[i]}" >/dev/null 2>"$TMP/undo" || {
			echo "cleanup failed: ${DEFERRED[i]}"
			cat "$TMP/undo"
		} >&2
	done
	DEFERRED=()
}

trap 'undo; rm -rf "$TMP"' EXIT

# Where a test failed: the innermost line of the test file comes first.
fail_here()
{
	local rc=$? i where=

	trap - ERR
	for ((i = 1; i < ${#FUNCNAME[@]}; i++)); do
		[ "${FUNCNAME[i]}" != prove ] || break
		where+=" ${BASH_SOURCE[i]##*/}:${BASH_LINENO[i - 1]}"
	done
	echo "status $rc at$where: $1"
	exit "$rc"
}

# skip REASON: end the test; only what expected-skips lists may do so.
skip()
{
	echo "$*" >"$TMP/skip"
	trap - ERR
	exit 4
}

# fail TEXT: end the test, it failed.
fail()
{
	echo "$*"
	trap - ERR
	exit 1
}

run_test()
{
	DEFERRED=()
	trap undo EXIT
	set -eE
	trap 'fail_here "$BASH_COMMAND"' ERR
	"$@"
}

# prove "what it proves" FUNCTION [ARGS...]: one test.
prove()
{
	local name=$1 rc

	shift
	if [ -n "${ONLY:-}" ] && [[ $name != *$ONLY* && $1 != *$ONLY* ]]; then
		return 0
	fi
	KTAP_N=$((KTAP_N + 1))
	rm -f "$TMP/skip" "$TMP/cases"
	echo "blk_copy: test $KTAP_N: $name" >/dev/kmsg 2>/dev/null
	(run_test "$@") >"$TMP/log" 2>&1 </dev/null
	rc=$?
	if [ "$rc" -eq 0 ]; then
		echo "ok $KTAP_N - $name"
	elif [ "$rc" -eq 4 ] && [ -e "$TMP/skip" ]; then
		echo "ok $KTAP_N - $name # SKIP $(cat "$TMP/skip")"
	else
		sed 's/^#* */# /' "$TMP/log" | tail -n 40
		echo "not ok $KTAP_N - $name"
		KTAP_FAILED=1
	fi
}

# since X.Y: is this kernel as new?  For tests of what older ones do not have.
since()
{
	[ "$(printf '%s\n' "$1" "$(uname -r)" | sort -V | head -n 1)" = "$1" ]
}

# finish: print the plan and end the file.
finish()
{
	echo "1..$KTAP_N"
	exit "$KTAP_FAILED"
}

# ------------------------------------------------------------- comparisons

# is HAVE WANT [WHAT]
is()
{
	[ "$1" = "$2" ] || { echo "${3:-value}: is '$1', should be '$2'"; return 1; }
}

# at_least HAVE MINIMUM WHAT
at_least()
{
	[ "$1" -ge "$2" ] || { echo "$3: only $1, should be at least $2"; return 1; }
}

# want OUTPUT COMMAND...: the command prints exactly this, whatever its status.
want()
{
	local expected=$1 have

	shift
	# Without exec bash forks twice for a program.
	if declare -F "$1" >/dev/null; then
		have=$("$@" 2>&1) || :
	else
		have=$(exec "$@" 2>&1) || :
	fi
	[ "$have" = "$expected" ] || {
		echo "$*"
		echo "  printed '$have', should be '$expected'"
		return 1
	}
}

# add_case "OUTPUT" ARGS...: a rawcopy call, to be made by run_cases together with
# the others: starting a program takes longer than what it does.
add_case()
{
	local expected=$1

	shift
	echo "$expected|$*" >>"$TMP/cases"
}

# run_cases [PROGRAM]: and forget them.
run_cases()
{
	mv "$TMP/cases" "$TMP/running"
	"${1:-rawcopy}" -t <"$TMP/running"
}

# fails COMMAND...: a command that must not succeed.
fails()
{
	if "$@"; then
		echo "succeeded, but must fail: $*"
		return 1
	fi
}

# bytes 16M: the number behind it.
bytes()
{
	case $1 in
	*s) echo $((${1%s} << 9)) ;;
	*K) echo $((${1%K} << 10)) ;;
	*M) echo $((${1%M} << 20)) ;;
	*G) echo $((${1%G} << 30)) ;;
	*) echo $(($1)) ;;
	esac
}

# sha FILE...: to see that a device has not changed at all.
sha()
{
	cat "$@" | sha1sum
}

# file_copied FILE: bytes_copied of the argument in it
file_copied()
{
	od -An -tu8 -j 32 -N 8 "$1" | tr -d ' '
}

# messages PATTERN: lines of the kernel log since "dmesg -C" that match
messages()
{
	dmesg | grep -cE -- "$1" || :
}

# ----------------------------------------------------------------- devices

# find_disk DEVICE: REPLY is the name below /sys/block, for a partition that of its
# disk.  It is asked for all the time and starts no program: with all its checks the
# debug kernel takes a quarter of a second for one.
find_disk()
{
	local dir name

	REPLY=
	for dir in /sys/block/dm-*/dm; do
		[[ $1 == /dev/mapper/* ]] || break
		read -r name <"$dir/name" || continue
		[ "$name" != "${1##*/}" ] || REPLY=${dir%/dm}
	done
	for dir in "/sys/class/block/${1##*/}" /sys/class/block/*; do
		[ -z "$REPLY" ] || break
		[[ ! /dev/${dir##*/} -ef $1 ]] || REPLY=$dir
	done
	# A node that somebody else made
	[ -n "$REPLY" ] || REPLY=$(readlink -f "/sys/dev/block/$(stat -Lc %Hr:%Lr "$1")")
	for dir in /sys/block/*; do
		[ -e "/sys/class/block/${REPLY##*/}/partition" ] || break
		[ ! -e "$dir/${REPLY##*/}" ] || REPLY=$dir
	done
	REPLY=${REPLY##*/}
	[ -n "$REPLY" ]
}

# disk_of DEVICE: the same, printed.
disk_of()
{
	local REPLY

	find_disk "$1"
	echo "$REPLY"
}

# wait_for COMMAND...: until it succeeds, for a minute at least.
wait_for()
{
	local end=$((SECONDS + 61))

	until "$@" >/dev/null 2>&1; do
		if [ "$SECONDS" -ge "$end" ]; then
			echo "never happened: $*"
			return 1
		fi
		sleep 0.05
	done
}

drop_null()
{
	[ -d "$NULLB/$1" ] || return 0
	echo 0 >"$NULLB/$1/power"
	rmdir "$NULLB/$1"
}

# make_null NAME [ATTRIBUTE=VALUE...]: /dev/NAME, memory backed; size in MiB.
make_null()
{
	local name=$1 word

	shift
	[ -d "$NULLB" ] || modprobe null_blk nr_devices=0
	mkdir "$NULLB/$name"
	defer drop_null "$name"
	for word in memory_backed=1 size=64 blocksize=512 max_copy_bytes=16777216 "$@"; do
		echo "${word#*=}" >"$NULLB/$name/${word%%=*}"
	done
	echo 1 >"$NULLB/$name/power"
	wait_for test -b "/dev/$name"
}

# add_partition DISK NUMBER OFFSET LENGTH: DISKpNUMBER, in the kernel only.
add_partition()
{
	partition add "$@"
	defer partition del "$1" "$2"
	wait_for test -b "${1}p$2"
}

drop_dm()
{
	dmsetup info "$1" >/dev/null 2>&1 || return 0
	dmsetup remove --retry "$1"
}

# make_dm NAME TABLE: /dev/mapper/NAME.
make_dm()
{
	dmsetup create "$1" --table "$2"
	defer drop_dm "$1"
}

# sectors DEVICE
sectors()
{
	blockdev --getsz "$1"
}

# ---------------------------------------------------------------- counters

# read_stat DEVICE ITEM...: STAT_NOW are values of /sys/block/<disk>/copy_stat;
# leaf:ITEM is the value of the leaf below.
read_stat()
{
	local dev=$1 item name value REPLY

	shift
	STAT_NOW=()
	for item in "$@"; do
		case $item in
		leaf:*) find_leaf "$dev" ;;
		*) find_disk "$dev" ;;
		esac
		while read -r name value; do
			[ "$name" != "${item#leaf:}" ] || STAT_NOW+=("$value")
		done <"/sys/block/$REPLY/copy_stat"
	done
}

# copy_stat DEVICE ITEM...: the same, printed.
copy_stat()
{
	read_stat "$@"
	echo "${STAT_NOW[*]}"
}

# find_leaf DEVICE: REPLY is what executes its commands and counts them.  For a
# namespace of NVMe that is the hidden disk of its (only) path.
find_leaf()
{
	local path

	find_disk "$1"
	[[ $REPLY == nvme* ]] || return 0
	for path in "/sys/block/${REPLY%n*}c"*"n${REPLY##*n}"; do
		[ ! -d "$path" ] || REPLY=${path##*/}
	done
}

# leaf_of DEVICE: the same, printed.
leaf_of()
{
	local REPLY

	find_leaf "$1"
	echo "$REPLY"
}

# before DEVICE ITEM...: remember these of copy_stat; "leaf:" before an item means
# that of the device's leaf.  rose_by N... compares by how much they rose since.
before()
{
	STAT_DEV=$1
	shift
	STAT_ITEMS=("$@")
	read_stat "$STAT_DEV" "$@"
	STAT_BEFORE=("${STAT_NOW[@]}")
}

rose_by()
{
	local have=() i

	read_stat "$STAT_DEV" "${STAT_ITEMS[@]}"
	for i in "${!STAT_NOW[@]}"; do
		have+=($((STAT_NOW[i] - STAT_BEFORE[i])))
	done
	is "${have[*]}" "$*" "rise of ${STAT_ITEMS[*]}"
}

# queue DEVICE ATTRIBUTE [VALUE]: read or set what is below queue/.
queue()
{
	local line REPLY

	find_disk "$1"
	if [ $# -gt 2 ]; then
		echo "$3" >"/sys/block/$REPLY/queue/$2"
	else
		read -r line <"/sys/block/$REPLY/queue/$2" || return
		echo "$line"
	fi
}

# set_queue DEVICE ATTRIBUTE VALUE: and put the old value back at the end.
set_queue()
{
	local old

	old=$(queue "$1" "$2")
	# A scheduler shows all, the present one in brackets.
	old=${old#*[}
	old=${old%%]*}
	defer queue "$1" "$2" "$old"
	queue "$1" "$2" "$3"
}

# read_copies DEVICE: REPLY is the commands and ranges that the device itself counted.
read_copies()
{
	local disk commands ranges nsid

	find_disk "$1"
	disk=/sys/block/$REPLY
	REPLY="0 0"
	if [ -d "$disk/null_blk" ]; then
		read -r commands <"$disk/null_blk/copy_commands"
		read -r ranges <"$disk/null_blk/copy_ranges"
		REPLY="$commands $ranges"
	elif [ -e "$disk/nsid" ]; then
		# What nvme-copies does, without starting Python.
		read -r nsid <"$disk/nsid"
		REPLY=$(awk -v nsid="$nsid" '$1 ~ /pci_nvme_copy$/ || /pci_nvme_copy / {
			if (match($0, "nsid " nsid " nr [0-9]+")) {
				n++
				split(substr($0, RSTART, RLENGTH), w, " ")
				r += w[4]
			}
		} END { print n + 0, r + 0 }' /run/vm/trace)
	fi
}

# device_copies DEVICE: the same, printed.
device_copies()
{
	local REPLY

	read_copies "$1"
	echo "$REPLY"
}

# counting DEVICE COMMAND...: run it; DID_COMMANDS, DID_RANGES are what the
# device counted meanwhile.
counting()
{
	local dev=$1 before

	shift
	read_copies "$dev"
	before=$REPLY
	"$@"
	read_copies "$dev"
	# Not both in arithmetic: a device never counts down.
	DID_COMMANDS=$((${REPLY% *} - ${before% *}))
	DID_RANGES=$((${REPLY#* } - ${before#* }))
}

# did COMMANDS RANGES: what counting must have seen.
did()
{
	is "$DID_COMMANDS commands, $DID_RANGES ranges" "$1 commands, $2 ranges" \
		"counted by the device"
}

# device_did DEVICE COMMANDS RANGES COMMAND...: run it, and the device itself must
# have counted that.
device_did()
{
	counting "$1" "${@:4}"
	did "$2" "$3"
}

# device_copied DEVICE COMMAND...: the same where their number varies: some.
device_copied()
{
	counting "$@"
	[ "$DID_COMMANDS" -gt 0 ] || { echo "$1 has executed no copy command"; return 1; }
}

# sectors_written DEVICE: as the statistics of its disk say
sectors_written()
{
	local words REPLY

	find_disk "$1"
	read -ra words <"/sys/block/$REPLY/stat"
	echo "${words[6]}"
}

# debug_counter NAME: of /sys/kernel/debug/blk_copy/counters.
debug_counter()
{
	local name value

	while read -r name value; do
		[ "$name" != "$1" ] || echo "$value"
	done <"$DEBUG/counters"
}

# idle: nothing of any copy is left.
idle()
{
	local gauge

	for gauge in outs_inflight emulation_bios_inflight emulation_bytes; do
		is "$(debug_counter "$gauge")" 0 "$gauge when nothing runs"
	done
}

# ------------------------------------------------------------------ timing

# pause_ms MS: each token waits so long between COPY_IN and COPY_OUT, until the
# end of the test or "pause_ms 0".
pause_ms()
{
	[ "$1" -eq 0 ] || defer pause_ms 0
	echo "$1" >"$DEBUG/pause_ms"
}

# hold_copies: tokens wait there until let_go or the end of the test.
hold_copies()
{
	echo 1 >"$DEBUG/counters"
	defer let_go
	echo Y >"$DEBUG/hold"
}

let_go()
{
	echo N >"$DEBUG/hold"
}

# paused: has a copy come to its pause since the counters were reset?
paused()
{
	[ "$(debug_counter pauses)" -gt 0 ]
}

# running: is a COPY_OUT in flight, past its pause?
running()
{
	[ "$(debug_counter outs_inflight)" -gt 0 ]
}

# slow_disk NAME BYTES-PER-SECOND: let QEMU take its time for a disk of /dev/vm,
# until the end of the test or "slow_disk NAME 0".
slow_disk()
{
	local drive=$1

	[ "$2" -eq 0 ] || defer slow_disk "$1" 0
	[[ $drive != [0-9]* ]] || drive=d$drive
	qmp block_set_io_throttle "device=$drive" "bps=$2" bps_rd=0 bps_wr=0 \
		iops=0 iops_rd=0 iops_wr=0 >/dev/null
}

# no_flusher: nothing is written behind our back for an hour.  (With 0, which is for
# never, the first dirty page of a disk wakes the flusher at once, and it may find that
# one to be more than the new disk's share of all dirty pages.)
no_flusher()
{
	local centisecs=/proc/sys/vm/dirty_writeback_centisecs

	defer eval "echo $(cat "$centisecs") >$centisecs"
	echo 360000 >"$centisecs"
}

# ----------------------------------------------------------------- tracing

stop_trace()
{
	echo 0 >"$TRACING/tracing_on"
	echo >"$TRACING/set_event"
}

# start_trace EVENT...: what happens from now on is in the file that trace prints.
start_trace()
{
	local event

	echo >"$TRACING/trace"
	for event in "$@"; do
		echo "$event" >>"$TRACING/set_event"
	done
	echo 1 >"$TRACING/tracing_on"
	defer stop_trace
}

# start_probe FUNCTION ARGUMENTS: the event "probe" for each call of a kernel function
start_probe()
{
	echo "p:blk_copy_test/probe $*" >"$TRACING/kprobe_events"
	defer eval "echo >$TRACING/kprobe_events"
	start_trace blk_copy_test:probe
}

# trace [PATTERN]: the lines of the trace so far that match.
trace()
{
	grep -E -- "${1:-.}" "$TRACING/trace" | grep -v '^#' || :
}
