#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The page cache: dirty pages of the source are copied, cached pages of the
# destination do not outlive the copy, and dirty ones lose nothing but what is
# copied over.  The same for offload and emulation.

# shellcheck source=tools/testing/selftests/blk_copy/lib.sh
. "$(dirname "$0")/lib.sh"

K=1024
M=$((1 << 20))
D0=/dev/d0
D1=/dev/d1
SRC=/dev/mapper/src
DST=/dev/mapper/dst

# with MODE TEST...: on a disk of 16 MiB with seed 1, FROM and TO it, which stays
# open, so that its page cache stays.  MODE is null, emulated or a device; "direct"
# before it: the copies are made with O_DIRECT; "stacked" before it: from and to a
# disk of its own over the same one, each with its own page cache.
with()
{
	local word

	HOW=offloaded
	OPEN=()
	DIRECT=()
	TWO=()
	MODE=$1
	no_flusher
	for word in $MODE; do
		case $word in
		direct)
			OPEN=(-m d -M d)
			DIRECT=(-d)
			;;
		stacked) ;;
		null)
			LEAF=$D0
			make_null d0 size=16
			;;
		emulated)
			LEAF=$D0
			HOW=emulated
			make_null d0 size=16 max_copy_bytes=0
			;;
		*)
			LEAF=$word
			;;
		esac
	done
	FROM=$LEAF
	TO=$LEAF
	pattern fill "$LEAF" 1
	if [[ $MODE == *stacked* ]]; then
		make_dm src "0 $(sectors "$LEAF") linear $LEAF 0"
		make_dm dst "0 $(sectors "$LEAF") linear $LEAF 0"
		FROM=$SRC
		TO=$DST
		TWO=("$SRC")
		OPEN+=(-s "$SRC")
		exec 8<>"$SRC"
	fi
	exec 9<>"$TO"
	shift
	"$@"
}

# copied LENGTH ARGS...: all of it, the way that the device can
copied()
{
	local len=$1

	shift
	if [ "$HOW" = offloaded ]; then
		device_copied "$LEAF" want "0 $len $len" rawcopy -f n "${OPEN[@]}" "$@"
	else
		counting "$LEAF" want "0 $len 0" rawcopy "${OPEN[@]}" "$@"
		did 0 0
	fi
}

# medium ARGS...: the disk holds that, whatever is in anybody's page cache.  Where
# there is no disk below, the cache is written out for it: look at it last.
medium()
{
	pattern check "$LEAF" "$@"
}

source_written()
{
	local before

	before=$(sectors_written "$LEAF")
	pattern fill -b -o 1M -l 2M "$FROM" 5
	is "$(sectors_written "$LEAF")" "$before" "sectors written: the pages must be dirty still"
	copied "$M" "$TO" 8M 1536K:1M
	copied 4096 "$TO" 10M 2M:1s*8+3s
	# What was not copied may be dirty still.
	pattern check "$FROM" 1 @1M:5 1M:2M @8M:5 1536K:1M @10M:5 2M:1s*8+3s
	medium 1 @1M:5 1M:2M @8M:5 1536K:1M @10M:5 2M:1s*8+3s
}

# A page of which only one sector is copied
source_small()
{
	pattern fill -b -o 1M -l 4K "$FROM" 5
	copied 512 "$TO" 8M "2051s:1s"
	medium 1 @1M:5 1M:4K @8M:5 2051s:1s
}

destination_read()
{
	pattern check -b "$TO" 1
	copied "$M" "$TO" "$((8 * M + 512))" 1M:1M
	pattern check -b "$TO" 1 "@$((8 * M + 512)):1" 1M:1M
	medium 1 "@$((8 * M + 512)):1" 1M:1M
}

# Dirty pages of which the copy takes a part; a page that it takes as a whole
destination_written()
{
	pattern fill -b -o 8M -l 12K "$TO" 5
	pattern fill -b -o 10M -l 4K "$TO" 5
	copied 9216 "$TO" "$((8 * M + 512))" 1M:9K
	copied 512 "$TO" "$((10 * M + 1536))" 2M:512
	pattern check -b "$TO" 1 @8M:5 8M:12K @10M:5 10M:4K "@$((8 * M + 512)):1" 1M:9K \
		"@$((10 * M + 1536)):1" 2M:512
	medium 1 @8M:5 8M:12K @10M:5 10M:4K "@$((8 * M + 512)):1" 1M:9K \
		"@$((10 * M + 1536)):1" 2M:512
}

for MODE in null emulated "stacked null" "stacked emulated" "direct null" "direct stacked null" \
	/dev/vm/big; do
	prove "dirty source pages are copied, $MODE" with "$MODE" source_written
	prove "a sector of a dirty source page is copied, $MODE" with "$MODE" source_small
	prove "a cached destination shows the new data, $MODE" with "$MODE" destination_read
	prove "a dirty destination keeps what is not copied over, $MODE" with "$MODE" destination_written
done

# ------------------------------------------------------- two disks, errors

# The page caches of both disks matter.
two_disks()
{
	make_null d1 size=16
	exec 8<>"$D1"
	pattern fill "$D1" 2
	pattern fill -b -o 1M -l 1M "$LEAF" 5
	pattern fill -b -o 8M -l 4K "$D1" 6
	pattern check -b -o 9M "$D1" 2
	want "0 $((2 * M)) 0" rawcopy -s "$LEAF" "$D1" "$((8 * M + 512))" 1M:2M
	pattern check -b "$D1" 2 @8M:6 8M:512 "@$((8 * M + 512)):5" 1M:1M "@$((9 * M + 512)):1" 2M:1M
	pattern check "$D1" 2 @8M:6 8M:512 "@$((8 * M + 512)):5" 1M:1M "@$((9 * M + 512)):1" 2M:1M
}

# What a copy that fails did not reach is as it was, in the cache and below.
refused()
{
	make_null d1 size=16
	exec 8<>"$D1"
	pattern fill "$D1" 2
	pattern fill -b -o 8M -l 1M "$D1" 5
	counting "$D1" want "EOPNOTSUPP 0 0" rawcopy -f n -s "$LEAF" "$D1" "$((8 * M + 512))" 1M:512K
	did 0 0
	counting "$D1" want "EINVAL 0 0" rawcopy -f n "$D1" 8M 7680K:1M
	did 0 0
	pattern check -b "$D1" 2 @8M:5 8M:1M
	pattern check "$D1" 2 @8M:5 8M:1M
}

failed()
{
	local bad=$((1 * 2048 + 5125))

	make_null d1 size=16 max_copy_bytes="$M"
	exec 8<>"$D1"
	pattern fill "$D1" 2
	pattern fill -b -o 8M -l 4M "$D1" 5
	echo "+$bad-$bad" >"$NULLB/d1/badblocks"
	# Commands of 1 MiB; the third fails, the fourth is under way.
	device_did "$D1" 3 3 want "EIO $((2 * M)) $((2 * M))" rawcopy -f n "$D1" 8M 1M:4M
	echo "-$bad-$bad" >"$NULLB/d1/badblocks"
	pattern check -b "$D1" 2 @8M:5 8M:4M @8M:2 1M:2M @11M:2 4M:1M
	pattern check "$D1" 2 @8M:5 8M:4M @8M:2 1M:2M @11M:2 4M:1M
}

# Dirty pages that cannot be written are an error, not old data.
source_unwritable()
{
	make_dm flakey "0 16384 flakey $LEAF 0 0 100000 1 error_writes"
	exec 8<>/dev/mapper/flakey
	head -c 4096 /dev/zero >&8
	want "EIO 0 0" rawcopy -s /dev/mapper/flakey "$LEAF" 12M 0:1M
	pattern check "$LEAF" 1
}

prove "both page caches of two disks" with null two_disks
prove "a copy that is refused leaves dirty pages alone" with null refused
prove "a copy that fails leaves alone what it did not reach" with null failed
prove "dirty source pages that cannot be written fail the copy" with null source_unwritable

# ------------------------------------------------------------------ mmap()

# mapped SCENARIO [HOW]
mapped()
{
	local how=${2:-$HOW}

	counting "$LEAF" want "$how" mapcopy "${DIRECT[@]}" "$1" "$TO" "${TWO[@]}"
	if [ "$how" = offloaded ]; then
		[ "$DID_COMMANDS" -gt 0 ]
	else
		did 0 0
	fi
}

# Whether the page of somebody who writes to it all the time can be dropped is up to
# the scheduler, and so is whether any copy is offloaded, but not what is copied.
mapped_anyhow()
{
	local how

	how=$(exec mapcopy "${DIRECT[@]}" "$1" "$TO" "${TWO[@]}") || :
	[[ $how == offloaded || $how == emulated ]] || fail "mapcopy: $how"
}

for MODE in null emulated "direct null" /dev/vm/big "stacked null" "direct stacked emulated"; do
	prove "mmap: dirty source, $MODE" with "$MODE" mapped source-dirty
	prove "mmap: source written during copies, $MODE" with "$MODE" mapped source-busy
	prove "mmap: destination read before, $MODE" with "$MODE" mapped destination-read
	prove "mmap: destination dirty, also around the copy, $MODE" with "$MODE" mapped destination-dirty
	prove "mmap: destination used during copies, $MODE" with "$MODE" mapped_anyhow destination-busy
done
prove "mmap: dirty destination of a refused copy" with emulated mapped destination-kept

# ------------------------------------------------ pages that stay where they are
#
# A mounted file system holds the buffers of its superblock and of what follows it,
# so their pages cannot be dropped: here the two at 3 MiB, on a disk of its own over
# d1, which shows what is on the medium.  Nobody writes to it but the copies.

HELD=$((3 * M))
AT=$((HELD - 32 * K + 512))	# where copies go; both ends are within a page
LEN=$((128 * K - 1024))
END=$((AT + LEN))
LAST=$((END / 4096 * 4096))	# the last page, of which a sector is not copied

# make_fs [ATTRIBUTE=VALUE...]: d1 has seed 2 but for a file system of 1 MiB groups.
make_fs()
{
	no_flusher
	LEAF=$D1
	make_null d1 size=16 "$@"
	pattern fill "$D1" 2
	mke2fs -q -F -t ext4 -b 4096 -g 256 -N 16 -O ^has_journal,^resize_inode,^metadata_csum,^flex_bg \
		-E nodiscard,lazy_itable_init=0 "$D1"
	pattern fill -o 10M -l 2M "$D1" 2
}

# mount_fs: hold the pages of the second superblock.
mount_fs()
{
	mkdir -p "$TMP/mnt"
	mount -t ext4 -o ro,sb=$((HELD / K)) "$DST" "$TMP/mnt"
	defer umount "$TMP/mnt"
}

# make_held SOURCE [ATTRIBUTE=VALUE...]: with the pages held; FROM is d0 with seed 2,
# for "two", or the destination itself, for "one", or d1, for "below".
make_held()
{
	local source=$1

	shift
	make_fs "$@"
	make_dm dst "0 $(sectors "$D1") linear $D1 0"
	mount_fs
	set_from "$source"
}

set_from()
{
	case $1 in
	one) FROM=$DST ;;
	below) FROM=$D1 ;;
	two)
		FROM=$D0
		make_null d0 size=16
		pattern fill "$D0" 2
		;;
	esac
}

# copied_around [PATTERN...]: medium and cache have the copied bytes of 10 MiB, and
# behind the copy only what the PATTERN says is new.  The medium is read past the
# pages that the copy was made through.
copied_around()
{
	around "$D1" "$LEN" "$@"
	around -b "$DST" "$LEN" "$@"
}

# around [-b] DEVICE LENGTH [PATTERN...]
around()
{
	local cached=() dev len

	[ "$1" != -b ] || { cached=(-b); shift; }
	dev=$1
	len=$2
	shift 2
	pattern check "${cached[@]}" -o $((HELD - M / 2)) -l $((AT - HELD + M / 2)) "$dev" 2
	[ "$len" -eq 0 ] || pattern check "${cached[@]}" -o "$AT" -l "$len" "$dev" 2 "@$AT:2" "10M:$len"
	pattern check "${cached[@]}" -o "$END" -l $((M / 2)) "$dev" 2 "$@"
}

# held_before SOURCE MODE...: the copy finds the pages there
held_before()
{
	make_held "$1" "${@:3}"
	before "$DST" copies offloaded_bytes emulated_bytes failed
	device_did "$D1" 0 0 want "EBUSY 0 0" rawcopy -f n -m "$2" -M "$2" -s "$FROM" "$DST" "$AT" "10M:$LEN"
	rose_by 0 0 0 0
	around "$D1" 0
	counting "$D1" want "0 $LEN 0" rawcopy -m "$2" -M "$2" -s "$FROM" "$DST" "$AT" "10M:$LEN"
	did 0 0
	copied_around
	rose_by 1 0 "$LEN" 0
}

for FD in rw d; do
	prove "held pages, one disk, descriptors $FD: through the cache" held_before one "$FD"
	prove "held pages, two disks, descriptors $FD: through the cache" held_before two "$FD"
done
prove "held pages, disk that cannot offload: through the cache" held_before one d max_copy_bytes=0

# The first window of 64 MiB is copied, the second one holds the pages.
held_in_second_window()
{
	local first=$((64 * M))

	HELD=$((81 * M))
	make_held one size=112
	before "$DST" copies offloaded_bytes emulated_bytes failed
	device_did "$D1" 4 64 want "EBUSY $first $first" rawcopy -f n "$DST" 17M "10M:1M*65+0"
	rose_by 1 "$first" 0 0
	pattern check -o 17M -l 64M "$D1" 2 @17M:2 "10M:1M*64+0"
	pattern check -o $((81 * M + M / 2)) -l 512K "$D1" 2
	device_did "$D1" 4 64 want "0 $((65 * M)) $first" rawcopy "$DST" 17M "10M:1M*65+0"
	pattern check -o 17M -l 65M "$D1" 2 @17M:2 "10M:1M*65+0"
	pattern check -b -o 17M -l 65M "$DST" 2 @17M:2 "10M:1M*65+0"
	rose_by 3 $((2 * first)) "$M" 0
}

prove "bytes_copied of a call whose second window cannot be dropped" held_in_second_window

# in_pause COMMAND...: run it between COPY_IN and COPY_OUT of a copy of LEN bytes
# from FROM; what that prints goes to $TMP/out.
in_pause()
{
	local flags=$1

	shift
	hold_copies
	# shellcheck disable=SC2086
	rawcopy $flags -s "$FROM" "$DST" "$AT" "10M:$LEN" >"$TMP/out" &
	wait_for paused
	"$@"
	is "$(debug_counter outs_inflight_max)" 0 "COPY_OUTs before the pages were used"
	let_go
	wait $! || :
}

# A file system is mounted while the device copies.  To make one that takes no
# locks of the destination for that, the blocks are as large as pages.
held_behind()
{
	AT=$((HELD - 32 * K))
	LEN=$((128 * K))
	END=$((AT + LEN))
	make_fs blocksize=4096
	make_dm dst "0 $(sectors "$D1") linear $D1 0"
	set_from "$1"
	before "$DST" copies offloaded_bytes emulated_bytes
	device_did "$D1" 1 1 in_pause "$2" mount_fs
	is "$(cat "$TMP/out")" "$3"
	[ "$2" = "-f n" ] || copied_around
	# shellcheck disable=SC2086
	rose_by $4
}

# Somebody writes to the sector behind the range, on its last page, which then is
# dirty and has old data in front of that sector.
written_behind()
{
	no_flusher
	make_null d1 size=16
	pattern fill "$D1" 2
	make_dm dst "0 $(sectors "$D1") linear $D1 0"
	exec 9<>"$DST"
	set_from below
	device_did "$D1" 1 1 in_pause "$1" pattern fill -b -o "$END" -l 512 "$DST" 5
	is "$(cat "$TMP/out")" "$2"
	if [ "$1" = "-f n" ]; then
		# Nothing is promised of the range, but all of the writer's sector.
		pattern check -b "$DST" 2 "@$AT:2:~0" "10M:$LEN" "@$END:5" "$END:512"
		blockdev --flushbufs "$DST"
		pattern check "$D1" 2 "@$AT:2:~0" "10M:$LEN" "@$END:5" "$END:512"
	else
		copied_around "@$END:5" "$END:512"
	fi
}

emulating()
{
	[ "$(debug_counter emulation_bios_inflight)" -gt 0 ]
}

# The same while data is read that is going to be written.
written_behind_emulation()
{
	no_flusher
	make_null d1 size=16
	pattern fill "$D1" 2
	make_dm dst "0 $(sectors "$D1") linear $D1 0"
	exec 9<>"$DST"
	set_from two
	make_dm src "0 $(sectors "$D0") linear $D0 0"
	defer dmsetup resume src
	dmsetup suspend src
	rawcopy "$@" -s "$SRC" "$DST" "$AT" "10M:$LEN" >"$TMP/out" &
	wait_for emulating
	pattern fill -b -o "$END" -l 512 "$DST" 5
	dmsetup resume src
	wait $!
	is "$(cat "$TMP/out")" "0 $LEN 0"
	copied_around "@$END:5" "$END:512"
}

prove "a page held during the copy, one disk: through the cache" \
	held_behind one "" "0 $((128 * K)) 0" "2 $((128 * K)) $((128 * K))"
prove "a page held during the copy, one disk, emulation forbidden: EBUSY" \
	held_behind one "-f n" "EBUSY 0 0" "1 $((128 * K)) 0"
prove "a page held during the copy, two disks: through the cache" \
	held_behind below "" "0 $((128 * K)) 0" "2 $((128 * K)) $((128 * K))"
prove "a page written during the copy: old data does not come back" \
	written_behind "" "0 $LEN 0"
prove "a page written during the copy, O_DIRECT: old data does not come back" \
	written_behind "-m d -M d" "0 $LEN 0"
prove "a page written during the copy, emulation forbidden: EBUSY" \
	written_behind "-f n" "EBUSY 0 0"
prove "a page written during an emulated copy: old data does not come back" \
	written_behind_emulation
prove "a page written during an emulated copy, O_DIRECT" written_behind_emulation -m d -M d

# ------------------------------------------- on the device, or an error, or a kill

# make_last TARGET...: DST with held pages where the last page of a copy is different
make_last()
{
	make_fs
	make_dm dst "0 $((LAST / 512)) linear $D1 0
$((LAST / 512)) 8 $*
$((LAST / 512 + 8)) $((32768 - LAST / 512 - 8)) linear $D1 $((LAST / 512 + 8))"
	mount_fs
	set_from two
}

# held_writes DEVICE COUNT: dm-delay has so many of them
held_writes()
{
	dmsetup status "$1" | grep -qx ".* delay [0-9]* $2 [0-9]*"
}

held_reads()
{
	dmsetup status "$1" | grep -q " delay [1-9][0-9]* [0-9]* "
}

# release NAME DISK: what dm-delay holds back goes on, and it holds nothing any more.
release()
{
	dmsetup load "$1" --table "0 $(sectors "$2") linear $2 0"
	dmsetup suspend --nolockfs "$1"
	dmsetup resume "$1"
}

# over_or PID COMMAND...: nothing to wait for any more, or it succeeds
over_or()
{
	! kill -0 "$1" || "${@:2}"
}

# The write of the last page takes until it is released, reads do not.  A writer
# next to the range then reads that page.  Through the cache it has the copied data;
# it would have old data if this were a direct write, because the descriptor is
# O_DIRECT: 64 KiB of the copy have the held pages, where direct writes fall back;
# the other 64 KiB, with the last page, have none.
slow_last_page()
{
	local copier

	make_last delay "$D1" $((LAST / 512)) 0 "$D1" $((LAST / 512)) 3600000
	rawcopy -m "$1" -M "$1" -s "$FROM" "$DST" "$AT" "10M:$LEN" >"$TMP/out" &
	copier=$!
	defer release dst "$D1"
	wait_for over_or "$copier" held_writes dst 1
	pattern fill -b -o "$END" -l 512 "$DST" 5
	# It must not have ended before all was written.
	kill -0 "$copier"
	is "$(cat "$TMP/out")" ""
	release dst "$D1"
	wait "$copier"
	is "$(cat "$TMP/out")" "0 $LEN 0"
	around -b "$DST" "$LEN" "@$END:5" "$END:512"
	pattern check -o "$AT" -l "$LEN" "$D1" 2 "@$AT:2" "10M:$LEN"
}

prove "a copy through the cache ends when all is written" slow_last_page rw
prove "a copy through the cache with O_DIRECT is coherent with writers" slow_last_page d

# What cannot be written is not copied, and the error is there for fsync as well.
write_error()
{
	make_last flakey "$D1" $((LAST / 512)) 0 100000 1 error_writes
	# A whole page, because that must be read otherwise.
	LEN=$((LAST + 4096 - AT))
	want "EIO 0 0" rawcopy -m "$1" -M "$1" -s "$FROM" "$DST" "$AT" "10M:$LEN"
	fails sync "$DST"
	LEN=$((LAST - AT))
	want "0 $LEN 0" rawcopy -m "$1" -M "$1" -s "$FROM" "$DST" "$AT" "10M:$LEN"
	pattern check -o "$AT" -l "$LEN" "$D1" 2 "@$AT:2" "10M:$LEN"
}

prove "an error of writing the cache back is the copy's, and fsync's" write_error rw
prove "an error of writing the cache back is the copy's, and fsync's, O_DIRECT" write_error d

# make_slow_source TARGET...: SRC over d0, but for the page 100 KiB behind 10 MiB;
# without readahead, so that the pages before it do not wait for it.
make_slow_source()
{
	local at=$(((10 * M + 100 * K) / 512))

	make_held two
	make_dm src "0 $at linear $D0 0
$at 8 $*
$((at + 8)) $((32768 - at - 8)) linear $D0 $((at + 8))"
	blockdev --setra 0 "$SRC"
	FROM=$SRC
}

read_error()
{
	make_slow_source error
	want "EIO $((100 * K)) 0" rawcopy -m "$1" -M "$1" -s "$FROM" "$DST" "$AT" "10M:$LEN"
	pattern check -o "$AT" -l "$LEN" "$D1" 2 "@$AT:2" "10M:$((100 * K))"
}

prove "an error of reading through the cache: what was before it is written" read_error rw
prove "an error of reading through the cache, O_DIRECT" read_error d

# A kill ends it at once.  What it wrote by then is 64 KiB; it has read some more.
# Has a copy ended like that?
interrupted()
{
	[ -n "$(trace 'blk_copy_done.* error -4')" ]
}

killed()
{
	local copier proven=$((64 * K))

	# A worker reads, which no signal reaches: it hears of the kill behind that read.
	[ -z "${DOOR:-}" ] || local LEN=$((192 * K - 1024)) proven=$((128 * K))
	make_slow_source delay "$D0" $(((10 * M + 100 * K) / 512)) 3600000
	# The last one to close it would wait for the page.
	exec 7<"$SRC"
	defer eval "exec 7<&-"
	defer release src "$D0"
	truncate -s 4K "$TMP/arg"
	start_trace blk_copy:blk_copy_done
	rawcopy -a "$TMP/arg" -m "$1" -M "$1" -s "$FROM" "$DST" "$AT" "10M:$LEN" >"$TMP/out" &
	copier=$!
	wait_for over_or "$copier" held_reads src
	kill -KILL "$copier"
	fails wait "$copier"
	if [ "${DOOR:-}" = uring ]; then
		# Nobody is there for the results.  Until the ring is gone, too:
		sleep 1
		release src "$D0"
		wait_for interrupted
	else
		is "$(file_copied "$TMP/arg")" "$proven" "bytes copied before the kill"
	fi
	is "$(trace "done $proven offloaded 0 emulated $proven error -4" | wc -l)" 1 \
		"copies that were interrupted there"
	pattern check -o "$AT" -l "$LEN" "$D1" 2 "@$AT:2" "10M:$proven"
}

prove "a kill ends a copy through the cache at once" killed rw
prove "a kill ends a copy through the cache at once, O_DIRECT" killed d

finish
