/* SPDX-License-Identifier: GPL-2.0 */
/*
 * null_blk: copy between the pages of one disk.
 *
 * A part of main.c, which includes it behind the functions that look pages up:
 * these are static there, as is struct nullb_page.
 */
#ifdef CONFIG_BLK_COPY

/* Bytes between two chances for others to take the lock */
#define NULL_COPY_BATCH_SECTORS	(SZ_64K >> SECTOR_SHIFT)

/* What has a bit of its own: a block, or each page of a larger one */
static unsigned int null_copy_unit(struct nullb *nullb)
{
	return min_t(unsigned int, nullb->dev->blocksize, PAGE_SIZE);
}

/*
 * Making room and allocating drop the lock, so the source is looked up last.
 * Blocks without data read as zeroes, whatever the page has at their place.
 */
static int null_copy_one(struct nullb *nullb, sector_t dst, sector_t src)
{
	unsigned int dst_off = (dst & SECTOR_MASK) << SECTOR_SHIFT;
	unsigned int src_off = (src & SECTOR_MASK) << SECTOR_SHIFT;
	unsigned int len = null_copy_unit(nullb);
	bool cached = null_cache_active(nullb);
	struct nullb_page *to, *from;

	if (cached)
		null_make_cache_space(nullb, PAGE_SIZE);
	to = null_insert_page(nullb, dst, !cached);
	if (!to)
		return -ENOSPC;
	from = null_lookup_page(nullb, src, false, !cached);
	if (from)
		memcpy_page(to->page, dst_off, from->page, src_off, len);
	else
		memset_page(to->page, dst_off, 0, len);
	__set_bit(dst & SECTOR_MASK, to->bitmap);
	return 0;
}

/**
 * null_copy_pages - copy one range inside a memory backed disk
 * @nullb:	the disk
 * @dst:	first sector to write
 * @src:	first sector to read
 * @bytes:	length, a multiple of the block size
 *
 * Context: may sleep.
 * Return: 0, or -ENOSPC if a page could not be allocated; then a part of the
 * destination may be written.
 */
int null_copy_pages(struct nullb *nullb, sector_t dst, sector_t src,
		    unsigned int bytes)
{
	unsigned int step = null_copy_unit(nullb) >> SECTOR_SHIFT;
	sector_t end = dst + (bytes >> SECTOR_SHIFT);
	unsigned int batch = 0;
	int err = 0;

	spin_lock_irq(&nullb->lock);
	for (; dst < end && !err; dst += step, src += step) {
		err = null_copy_one(nullb, dst, src);
		batch += step;
		if (batch < NULL_COPY_BATCH_SECTORS)
			continue;
		batch = 0;
		spin_unlock_irq(&nullb->lock);
		cond_resched();
		spin_lock_irq(&nullb->lock);
	}
	spin_unlock_irq(&nullb->lock);
	return err;
}

#endif /* CONFIG_BLK_COPY */
