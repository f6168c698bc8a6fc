#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Copies without memory: what is set aside for that is used, they all finish,
# and everything is given back.

# shellcheck source=/dev/null
. "$(dirname "$0")/lib.sh"

FAULTS=/sys/kernel/debug
# More faults than any test meets
PLENTY=1000000000

fault_off()
{
	echo 0 >"$FAULTS/$1/probability"
}

# fault_on NAME [ATTRIBUTE=VALUE...]: always, but only tasks that ask for it.
# Buffers that were kept from earlier copies would do without.  copies says that
# it was to no purpose if nobody met a fault.
fault_on()
{
	local name=$1 word

	echo 2 >/proc/sys/vm/drop_caches
	shift
	INJECTED=$name
	for word in task-filter=Y times=$PLENTY interval=0 space=0 verbose=0 "$@"; do
		echo "${word#*=}" >"$FAULTS/$name/${word%%=*}"
	done
	defer fault_off "$name"
	echo 100 >"$FAULTS/$name/probability"
}

INJECTED=

# met_faults NAME: how many allocations were refused since fault_on
met_faults()
{
	echo $((PLENTY - $(cat "$FAULTS/$1/times")))
}

# copies COPIES BYTES OFFLOADED fault-arguments... SRC DST...: all of them succeed,
# and SRC, the only one that can, has executed commands for what is offloaded.
# fault compares source, destination and what lies around it.
copies()
{
	local n=$1 bytes=$2 offloaded=$3 word src=

	shift 3
	for word in "$@"; do
		[[ -n $src || $word != /dev/* ]] || src=$word
	done
	echo 1 >"$DEBUG/counters"
	counting "$src" want "errors 0 $n
copied $bytes
offloaded $offloaded
wrong 0" fault "$@"
	if [ "$offloaded" -gt 0 ]; then
		at_least "$DID_COMMANDS" "$n" "copy commands of $src"
	else
		did 0 0
	fi
	[ -z "$INJECTED" ] || at_least "$(met_faults "$INJECTED")" 1 "faults of $INJECTED"
	idle
}

count()
{
	local have

	have=$(debug_counter "$1")
	echo "$1 $have" >>"$TMP/counts"
	[ "$have" -gt 0 ] || { echo "$1 is $have"; return 1; }
}

# Not a page for the buffers: only the reserve of the set is left.
emulation_without_pages()
{
	make_null m0 size=64 max_copy_bytes=0
	pattern fill /dev/m0 1
	fault_on fail_page_alloc min-order=0 ignore-gfp-wait=N ignore-gfp-highmem=Y
	copies 8 33554432 0 -f -n 8 -l 4194304 /dev/m0 /dev/m0
	count reserve_used
}

emulation_without_pages_nvme()
{
	fault_on fail_page_alloc min-order=0 ignore-gfp-wait=N ignore-gfp-highmem=Y
	copies 4 16777216 0 -f -n 4 -l 4194304 /dev/vm/big /dev/vm/other
	count reserve_used
}

# Large pages fail, small ones do not: no reserve is needed.
emulation_without_large_pages()
{
	make_null m0 size=64 max_copy_bytes=0
	pattern fill /dev/m0 1
	fault_on fail_page_alloc min-order=1 ignore-gfp-wait=N ignore-gfp-highmem=Y
	copies 8 33554432 0 -f -n 8 -l 4194304 /dev/m0 /dev/m0
	is "$(debug_counter reserve_used)" 0 reserve_used
}

# bios and ranges come from slabs; where the caller may not sleep, none is left.
emulation_without_slab()
{
	make_null m0 size=64 max_copy_bytes=0
	pattern fill /dev/m0 1
	fault_on failslab ignore-gfp-wait=Y cache-filter=N
	copies 8 33554432 0 -f -n 8 -l 4194304 /dev/m0 /dev/m0
}

offload_without_slab()
{
	local before after

	before=$(cat "$DEBUG/nvme_reserve_used")
	fault_on failslab ignore-gfp-wait=Y cache-filter=N
	copies 8 33554432 33554432 -f -n 8 -l 4194304 /dev/vm/big /dev/vm/big
	after=$(cat "$DEBUG/nvme_reserve_used")
	echo "nvme_reserve_used $((after - before))" >>"$TMP/counts"
	[ "$after" -gt "$before" ]
}

# bios and ranges, and nobody waits for memory either: mempools and the reserve of
# the driver are all there is.  Four ranges need no list of their own.
offload_of_four_ranges()
{
	local before

	before=$(cat "$DEBUG/nvme_reserve_used")
	fault_on failslab ignore-gfp-wait=N cache-filter=N
	copies 8 33554432 33554432 -f -n 8 -l 4194304 -r 4 /dev/vm/big /dev/vm/big
	at_least $(($(cat "$DEBUG/nvme_reserve_used") - before)) 8 nvme_reserve_used
}

# no_list_of_ranges DST ERROR OFFLOADED [-E]: more than four do, and many have it in
# pages: without, nothing is sent and nothing changes.  With memory again, two copies
# end as said.
no_list_of_ranges()
{
	local n before dst=$1 error=$2 offloaded=$3

	shift 3

	for n in 8 1024; do
		before=$(copy_stat /dev/vm/big copies failed)
		if [ "$n" -eq 8 ]; then
			fault_on failslab ignore-gfp-wait=N cache-filter=N
		else
			fault_on fail_page_alloc min-order=0 ignore-gfp-wait=N ignore-gfp-highmem=N
		fi
		counting /dev/vm/big want "errors ENOMEM 10
copied 0
offloaded 0
wrong 0" fault "$@" -f -s -n 10 -l 1048576 -r "$n" /dev/vm/big "$dst"
		did 0 0
		fault_off "$INJECTED"
		at_least "$(met_faults "$INJECTED")" 10 "faults of $INJECTED"
		is "$(copy_stat /dev/vm/big copies failed)" "$before" "copy_stat copies, failed"
		idle
		if [ "$error" = 0 ]; then
			copies 2 2097152 "$offloaded" "$@" -n 2 -l 1048576 -r "$n" /dev/vm/big "$dst"
			continue
		fi
		device_did /dev/vm/big 0 0 want "errors $error 2
copied 0
offloaded 0
wrong 0" fault "$@" -s -n 2 -l 1048576 -r "$n" /dev/vm/big "$dst"
	done
}

# parts DEVICE COUNT MIB: destinations of their own behind the first COUNT * MIB,
# 8 KiB larger for what must not change; their names are in PARTS.
parts()
{
	local disk i size=$((($3 << 20) + 8192)) sep=

	disk=$(disk_of "$1")
	[[ $disk != *[0-9] ]] || sep=p
	PARTS=()
	for ((i = 1; i <= $2; i++)); do
		partition add "$1" "$i" "$((($2 * $3 << 20) + (i - 1) * size))" "$size"
		defer partition del "$1" "$i"
		wait_for test -b "/dev/$disk$sep$i"
		PARTS+=("/dev/$disk$sep$i")
	done
}

# Several at once: one has the reserve, the others wait for it or for memory.
offloads_without_slab()
{
	local before

	before=$(cat "$DEBUG/nvme_reserve_used")
	parts /dev/vm/tiny 8 2
	fault_on failslab ignore-gfp-wait=Y cache-filter=N
	copies 64 134217728 134217728 -f -t 8 -n 8 -l 2097152 /dev/vm/tiny "${PARTS[@]}"
	[ "$(cat "$DEBUG/nvme_reserve_used")" -gt "$before" ]
}

# 24 copies for 16 chunks, when there is no memory for more
starving_offloads()
{
	make_null m0 size=97 irqmode=2 completion_nsec=20000000
	pattern fill /dev/m0 1
	parts /dev/m0 24 2
	fault_on fail_page_alloc min-order=0 ignore-gfp-wait=N ignore-gfp-highmem=Y
	copies 96 201326592 201326592 -f -t 24 -n 4 -l 2097152 /dev/m0 "${PARTS[@]}"
	count starved
}

# 40 copies want two units each, of 32.
starving_emulations()
{
	make_null m0 size=81 max_copy_bytes=0 irqmode=2 completion_nsec=10000000
	pattern fill /dev/m0 1
	parts /dev/m0 40 1
	fault_on failslab ignore-gfp-wait=N cache-filter=N
	copies 160 167772160 0 -f -t 40 -n 4 -l 1048576 /dev/m0 "${PARTS[@]}"
	count starved
}

# While there is memory nobody waits for anybody else.
plenty()
{
	make_null m0 size=97 irqmode=2 completion_nsec=20000000
	parts /dev/m0 24 2
	copies 48 100663296 100663296 -t 24 -n 2 -l 2097152 /dev/m0 "${PARTS[@]}"
	is "$(debug_counter starved)" 0 starved
	make_null m1 size=65 max_copy_bytes=0 irqmode=2 completion_nsec=10000000
	parts /dev/m1 8 4
	copies 16 67108864 0 -t 8 -n 2 -l 4194304 /dev/m1 "${PARTS[@]}"
	is "$(debug_counter starved)" 0 starved
}

# hanging PID...: all of them have begun to copy, and sleep.
hanging()
{
	local pid

	[ "$(trace blk_copy_start | wc -l)" -eq $# ]
	for pid in "$@"; do
		pid=$(pgrep -P "$pid" rawcopy)
		[[ $(sed 's/.*) //' "/proc/$pid/stat") == [DS]* ]]
	done
}

# Five devices hang with four chunks each of the 16 that are set aside.
others_hang()
{
	local i pid pids=()

	make_null m0 size=128
	make_null m1 size=16
	pattern fill /dev/m1 1
	start_trace blk_copy:blk_copy_start
	for i in 1 2 3 4 5; do
		make_dm "hang$i" "0 $(sectors /dev/m0) linear /dev/m0 0"
		dmsetup suspend "hang$i"
		defer dmsetup resume "hang$i"
		timeout 60 rawcopy "/dev/mapper/hang$i" 64M 0:64M >"$TMP/hang$i" &
		pids+=($!)
	done
	wait_for hanging "${pids[@]}"
	counting /dev/m1 want "0 1048576 1048576" timeout 10 rawcopy /dev/m1 8M 0:1M
	did 1 1
	queue /dev/m1 copy_max_bytes 0
	want "0 1048576 0" timeout 10 rawcopy /dev/m1 12M 0:1M
	pattern check /dev/m1 1 @8M:1 0:1M @12M:1 0:1M
	for i in 1 2 3 4 5; do
		dmsetup resume "hang$i"
	done
	for pid in "${pids[@]}"; do
		wait "$pid"
	done
	is "$(sort -u "$TMP"/hang?)" "0 67108864 67108864"
	is "$(device_copies /dev/m0)" "20 20" "commands, ranges of the device"
}

# Buffers are kept for the next copy, until memory is short.
reclaim()
{
	make_null m0 size=64 max_copy_bytes=0
	copies 2 8388608 0 -n 2 -l 4194304 /dev/m0 /dev/m0
	is "$(debug_counter pages_reclaimed)" 0 pages_reclaimed
	echo 2 >/proc/sys/vm/drop_caches
	count pages_reclaimed
	copies 2 8388608 0 -n 2 -l 4194304 /dev/m0 /dev/m0
}

starving_without_pages()
{
	make_null m0 size=49 max_copy_bytes=0 irqmode=2 completion_nsec=2000000
	pattern fill /dev/m0 1
	parts /dev/m0 24 1
	fault_on fail_page_alloc min-order=0 ignore-gfp-wait=N ignore-gfp-highmem=Y
	copies 24 25165824 0 -f -t 24 -l 1048576 /dev/m0 "${PARTS[@]}"
	count starved
	count reserve_used
}

prove "without pages, copies are emulated from the reserve" emulation_without_pages
prove "without pages, copies between subsystems are emulated from the reserve" \
	emulation_without_pages_nvme
prove "without large pages, emulation uses small ones" emulation_without_large_pages
prove "without slab memory, copies are emulated" emulation_without_slab
prove "without slab memory, NVMe offloads from its reserve" offload_without_slab
prove "without slab memory, four ranges are offloaded" offload_of_four_ranges
prove "without memory for a list of ranges: ENOMEM" no_list_of_ranges /dev/vm/big 0 2097152
prove "without memory for a list of ranges: ENOMEM, emulation forbidden" \
	no_list_of_ranges /dev/vm/big 0 2097152 -E
prove "without memory for a list of ranges: ENOMEM, emulated" no_list_of_ranges /dev/vm/other 0 0
prove "without memory for a list of ranges: ENOMEM, neither way" \
	no_list_of_ranges /dev/vm/other EOPNOTSUPP 0 -E
prove "without slab memory, many commands share the reserve of NVMe" offloads_without_slab
prove "24 offloaded copies share 16 chunks" starving_offloads
prove "40 emulated copies share 32 units" starving_emulations
prove "24 copies with memory do not wait" plenty
prove "copies do not wait for a device that hangs" others_hang
prove "buffers are kept until memory is reclaimed" reclaim
prove "24 emulated copies share the reserve" starving_without_pages
[ ! -e "$TMP/counts" ] || sed 's/^/#   /' "$TMP/counts"
finish
