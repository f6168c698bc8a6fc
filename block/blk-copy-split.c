// SPDX-License-Identifier: GPL-2.0
/*
 * Copy offload: where to cut a COPY_OUT.
 *
 * When a COPY_OUT is cut its token is already full.  So it can be cut exactly
 * where one command ends: at the total, at the number of ranges, at the length
 * of a range that destination and source take, and where the source leaf
 * changes.  Pure arithmetic: no I/O and no locks.
 */
#include <linux/kernel.h>

#include "blk.h"
#include "blk-copy-internal.h"

/* How much of [off, off + len) fits one command if it reads this layer? */
static u32 blk_copy_split_layer(const struct blk_copy_token *token, u8 layer,
				u32 off, u32 len,
				const struct blk_copy_limits *lim, u32 lbs)
{
	u32 max_range = min_t(u64, (u64)lim->max_segment_sectors << SECTOR_SHIFT,
			      U32_MAX - lbs + 1);
	unsigned int ranges = 0;
	struct blk_copy_range_iter iter;
	void *leaf = NULL;
	u32 bytes = 0;

	blk_copy_range_start(&iter, token, layer, off, len,
			     round_down(max_range, lbs));
	while (ranges < lim->max_segments && blk_copy_range_iter_next(&iter)) {
		if (leaf && leaf != iter.entry->leaf)
			break;
		leaf = iter.entry->leaf;
		bytes += iter.bytes;
		ranges++;
	}
	return bytes;
}

/* Is the slice one range of one filling that both ends take? */
static bool blk_copy_split_needless(const struct blk_copy_token *token,
				    u32 off, u32 len,
				    const struct blk_copy_limits *lim)
{
	const struct blk_copy_entry *e = &token->entry[0];

	return token->nr_entries == 1 && !e->zone_shift && e->off <= off &&
		off + len <= e->off + e->len && len <= e->max_bytes &&
		len >> SECTOR_SHIFT <= lim->max_segment_sectors;
}

/**
 * blk_copy_split_bytes - length of the first command of a COPY_OUT
 * @token:	its token, filled
 * @off:	first byte of the COPY_OUT in the token
 * @len:	its bytes
 * @lim:	limits of the destination leaf
 *
 * A leaf may read any layer that is complete, so the cut must suit all of them.
 * Cuts are multiples of the destination's logical block; a block that does not
 * suit the limits becomes a piece of its own, which the leaf refuses.
 *
 * Return: bytes of the first piece, @len if there is nothing to cut.
 */
u32 blk_copy_split_bytes(const struct blk_copy_token *token, u32 off, u32 len,
			 const struct queue_limits *lim)
{
	u64 max_bytes = (u64)lim->copy.max_sectors << SECTOR_SHIFT;
	u32 lbs = lim->logical_block_size;
	u32 bytes = min_t(u64, len, max_bytes);
	unsigned int i;

	if (!bytes)
		return len;
	/* The usual case: one range, which fits. */
	if (bytes == len && blk_copy_split_needless(token, off, len, &lim->copy))
		return len;
	for (i = 0; i < token->nr_layers; i++)
		if (blk_copy_token_find(token, i, off))
			bytes = blk_copy_split_layer(token, i, off, bytes,
						     &lim->copy, lbs);
	if (bytes == len)
		return len;
	return min(max(round_down(bytes, lbs), lbs), len);
}

/**
 * bio_copy_split_sectors - where __bio_split_to_limits() cuts a copy bio
 * @bio:	a COPY_IN or COPY_OUT bio
 * @lim:	limits of the queue that it enters
 *
 * A COPY_IN is never cut here: its token is empty and no command comes of it.
 *
 * Return: sectors of the first piece, 0 if the bio stays whole.
 */
int bio_copy_split_sectors(struct bio *bio, const struct queue_limits *lim)
{
	u32 bytes;

	if (bio_op(bio) == REQ_OP_COPY_IN)
		return 0;
	bytes = blk_copy_split_bytes(bio_copy_token(bio), bio_copy_offset(bio),
				     bio->bi_iter.bi_size, lim);
	return bytes == bio->bi_iter.bi_size ? 0 : bytes >> SECTOR_SHIFT;
}
