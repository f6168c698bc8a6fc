#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Steps of which so many slices are offloaded that the map of them is full.

# shellcheck source=tools/testing/selftests/blk_copy/lib.sh
. "$(dirname "$0")/lib.sh"

# half_striped WHERE: /dev/mapper/d, 16 MiB of which half is striped by 32 KiB over a disk
# that copies and one that cannot: 128 slices, as many as a map remembers.
half_striped()
{
	local plain="linear /dev/nb1 0" striped="linear /dev/mapper/st 0"

	make_null nb0
	make_null nb1 max_copy_bytes=0
	make_dm st "0 16384 striped 2 64 /dev/nb1 16384 /dev/nb0 16384"
	if [ "$1" = first ]; then
		make_dm d "0 16384 $striped
16384 16384 $plain"
	else
		make_dm d "0 16384 $plain
16384 16384 $striped"
	fi
	pattern fill /dev/nb0 1
	pattern fill /dev/mapper/d 2
}

copies()
{
	half_striped "$1"
	device_did /dev/nb0 128 128 want "0 16777216 4194304" timeout -s KILL $((30 * ${SLOWER:-1})) \
		rawcopy -s /dev/nb0 /dev/mapper/d 0 32M:16M
	pattern check /dev/mapper/d 2 @0:1 32M:16M
	pattern check -o 16M /dev/nb0 1
}

prove "a full map, then a long hole: all is emulated, and it ends" copies first
prove "a long hole, then a full map: all is emulated, and it ends" copies last
finish
