#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What NVMe stores beside the data of a block: protection information of type 1 and
# nothing else is checked and made anew by the device, all else is read and written.

# shellcheck source=/dev/null
. "$(dirname "$0")/lib.sh"

M=$((1 << 20))
PI=/dev/vm/pi
PLAIN=/dev/vm/big2

# emulated DEVICE TYPE BYTES: of protection information, and bytes of metadata
emulated()
{
	local dev=$1 disk

	disk=$(disk_of "$dev")
	is "$(cat "/sys/block/$disk/metadata_bytes")" "$3" "bytes of metadata"
	nvme id-ns "$dev" -o json | jq -e --argjson type "$2" '.dps == $type'
	is "$(queue "$dev" copy_max_hw_bytes) $(queue "$dev" copy_domain)" "0 none"
	pattern fill "$dev" 1
	pattern fill "$PLAIN" 2
	device_did "$dev" 0 0 want "EOPNOTSUPP 0 0" rawcopy -f n "$dev" 32M 0:1M
	device_did "$dev" 0 0 want "0 $M 0" rawcopy "$dev" 32M 3M:512K 0:512K
	# Nor as one end
	device_did "$dev" 0 0 want "0 $M 0" rawcopy -s "$PLAIN" "$dev" 36M 1M:1M
	device_did "$PLAIN" 0 0 want "EOPNOTSUPP 0 0" rawcopy -f n -s "$dev" "$PLAIN" 16M 4M:1M
	device_did "$PLAIN" 0 0 want "0 $M 0" rawcopy -s "$dev" "$PLAIN" 16M 4M:1M
	pattern check "$dev" 1 @32M:1 3M:512K 0:512K @36M:2 1M:1M
	pattern check "$PLAIN" 2 @16M:1 4M:1M
}

# tuple GUARD REFERENCE: what is stored for block 100 of zeroes, whose guard is 0
tuple()
{
	python3 -c 'import struct, sys
sys.stdout.buffer.write(struct.pack(">HHI", int(sys.argv[1]), 0, int(sys.argv[2])))' "$@"
}

# The device finds out when it reads, and has written nothing by then.
wrong_tuple()
{
	pattern fill "$PI" 1
	head -c 512 /dev/zero >"$TMP/block"
	tuple 0 100 >"$TMP/tuple"
	write_raw
	device_did "$PI" 1 1 want "0 $M $M" rawcopy -f n "$PI" 40M 0:1M
	tuple "$@" >"$TMP/tuple"
	write_raw
	before "$PI" offloaded_bytes command_errors
	want "EILSEQ 0 0" rawcopy -f n "$PI" 32M 0:1M
	rose_by 0 1
	pattern check -o 24M -l 16M "$PI" 1
	# Whoever reads it is told so, too.
	want "EILSEQ 0 0" rawcopy "$PI" 32M 0:1M
	rose_by 0 2
	pattern fill -o 51200 -l 512 "$PI" 1
	device_did "$PI" 1 1 want "0 $M $M" rawcopy -f n "$PI" 32M 0:1M
	pattern check -l 40M "$PI" 1 @32M:1 0:1M
}

# With no PRINFO bit the device stores what it is given.
write_raw()
{
	nvme write "$PI" -s 100 -c 0 -z 512 -d "$TMP/block" -y 8 -M "$TMP/tuple" -p 0
}

prove "a guard that is wrong at the source is found by the device" wrong_tuple 4660 100
prove "a reference tag that is wrong at the source is found by the device" wrong_tuple 0 5
prove "type 3 is emulated" emulated /dev/vm/pi3 3 8
prove "metadata without protection information is emulated" emulated /dev/vm/ms8 0 8
prove "protection information and more beside it is emulated" emulated /dev/vm/ms16 1 16
prove "a guard of 64 bits is emulated" emulated /dev/vm/guard64 1 16
finish
