// SPDX-License-Identifier: GPL-2.0
/*
 * Copy offload: emulation by reading and writing.
 *
 * A pipeline of units: each has a buffer, reads a piece of the source into it
 * and writes it out.  Several are in flight for one copy, so that reads and
 * writes overlap.  Entered per piece: whatever the devices have proven done is
 * left out.
 *
 * Forward progress: units come from the copy's set, and keep their buffers for
 * the next copy until memory gets short.  Without a buffer one is allocated, and
 * without memory it comes from a small reserve.  A copy only waits while another
 * one has units in flight, and never while it holds one itself.
 */
#include <linux/bio.h>
#include <linux/mm.h>
#include <linux/shrinker.h>
#include <linux/slab.h>

#include "blk.h"
#include "blk-copy-internal.h"

/* ------------------------------------------------------------- buffers */

static void blk_copy_unit_add_page(struct blk_copy_unit *unit,
				   struct page *page, unsigned int order)
{
	bvec_set_page(&unit->vecs[unit->nr_vecs++], page, PAGE_SIZE << order, 0);
	unit->bytes += PAGE_SIZE << order;
}

/* Large pages if they are at hand, small ones if some can be reclaimed. */
static void blk_copy_unit_get_pages(struct blk_copy_unit *unit, u32 want)
{
	unsigned int order = get_order(want);
	struct page *page;

	while (unit->bytes < want && unit->nr_vecs < BLK_COPY_UNIT_VECS) {
		gfp_t gfp = order ? GFP_NOWAIT | __GFP_COMP : GFP_NOIO;

		order = min_t(unsigned int, order,
			      get_order(want - unit->bytes));
		/* What is missing, rounded up, must not be too much. */
		while (order &&
		       unit->bytes + (PAGE_SIZE << order) > BLK_COPY_UNIT_BYTES)
			order--;
		page = alloc_pages(gfp | __GFP_NORETRY | __GFP_NOWARN |
				   __GFP_NOMEMALLOC, order);
		if (page)
			blk_copy_unit_add_page(unit, page, order);
		else if (order)
			order--;
		else
			break;
	}
}

/**
 * blk_copy_unit_free_pages - free the buffer of a unit
 * @unit:	the unit, idle
 */
void blk_copy_unit_free_pages(struct blk_copy_unit *unit)
{
	while (unit->nr_vecs) {
		const struct bio_vec *bv = &unit->vecs[--unit->nr_vecs];

		__free_pages(bv->bv_page, get_order(bv->bv_len));
	}
	unit->bytes = 0;
}

static bool blk_copy_unit_get_buffer(struct blk_copy *copy,
				     struct blk_copy_unit *unit, u32 want)
{
	blk_copy_unit_get_pages(unit, min(want, BLK_COPY_UNIT_BYTES));
	if (unit->bytes < copy->granule) {
		blk_copy_unit_free_pages(unit);
		/* The reserve is for units that exist, see below. */
		if (unit->extra)
			return false;
		unit->reserve = mempool_alloc(copy->set->bufs,
					      GFP_NOWAIT | __GFP_NOWARN);
		if (!unit->reserve)
			return false;
		blk_copy_unit_add_page(unit, unit->reserve,
				       BLK_COPY_RESERVE_ORDER);
		blk_copy_debug_add(BLK_COPY_DBG_RESERVE_USED, 1);
	}
	unit->capacity = round_down(unit->bytes, copy->granule);
	blk_copy_debug_add(BLK_COPY_DBG_EMU_BYTES, unit->capacity);
	return true;
}

/* A buffer that memory was short for, or that fitted a shorter hole */
static void blk_copy_unit_grow(struct blk_copy *copy,
			       struct blk_copy_unit *unit, u32 want)
{
	u32 had = unit->capacity;

	want = min(want, BLK_COPY_UNIT_BYTES);
	if (unit->bytes >= want)
		return;
	blk_copy_unit_get_pages(unit, want);
	unit->capacity = round_down(unit->bytes, copy->granule);
	blk_copy_debug_add(BLK_COPY_DBG_EMU_BYTES, unit->capacity - had);
}

static void blk_copy_unit_put_buffer(struct blk_copy *copy,
				     struct blk_copy_unit *unit)
{
	blk_copy_debug_add(BLK_COPY_DBG_EMU_BYTES, -(long)unit->capacity);
	if (unit->reserve) {
		mempool_free(unit->reserve, copy->set->bufs);
		unit->reserve = NULL;
		unit->nr_vecs = 0;
		unit->bytes = 0;
	}
}

static unsigned long blk_copy_count_pages(struct shrinker *shrinker,
					  struct shrink_control *sc)
{
	struct blk_copy_set *set = shrinker->private_data;
	struct blk_copy_unit *unit;
	unsigned long pages = 0;

	spin_lock_irq(&set->lock);
	list_for_each_entry(unit, &set->unit_pool.free, entry)
		pages += unit->bytes >> PAGE_SHIFT;
	spin_unlock_irq(&set->lock);
	return pages ?: SHRINK_EMPTY;
}

static struct blk_copy_unit *blk_copy_take_buffer(struct blk_copy_set *set)
{
	struct blk_copy_unit *unit;

	spin_lock_irq(&set->lock);
	list_for_each_entry(unit, &set->unit_pool.free, entry) {
		if (unit->bytes) {
			list_del(&unit->entry);
			spin_unlock_irq(&set->lock);
			return unit;
		}
	}
	spin_unlock_irq(&set->lock);
	return NULL;
}

/* Free the buffers of units that nobody uses, some at a time. */
static unsigned long blk_copy_scan_pages(struct shrinker *shrinker,
					 struct shrink_control *sc)
{
	struct blk_copy_set *set = shrinker->private_data;
	struct blk_copy_unit *unit;
	unsigned long freed = 0;

	while (freed < sc->nr_to_scan && (unit = blk_copy_take_buffer(set))) {
		freed += unit->bytes >> PAGE_SHIFT;
		blk_copy_unit_free_pages(unit);
		spin_lock_irq(&set->lock);
		list_add_tail(&unit->entry, &set->unit_pool.free);
		blk_copy_pool_wake(set, &set->unit_pool);
		spin_unlock_irq(&set->lock);
	}
	blk_copy_debug_add(BLK_COPY_DBG_RECLAIMED, freed);
	return freed ?: SHRINK_STOP;
}

/**
 * blk_copy_init_shrinker - let memory reclaim take the buffers of idle units
 * @set:	the set
 * @name:	its name
 *
 * Return: 0 or -ENOMEM.
 */
int blk_copy_init_shrinker(struct blk_copy_set *set, const char *name)
{
	set->shrinker = shrinker_alloc(0, "blk_copy_%s", name);
	if (!set->shrinker)
		return -ENOMEM;
	set->shrinker->count_objects = blk_copy_count_pages;
	set->shrinker->scan_objects = blk_copy_scan_pages;
	set->shrinker->private_data = set;
	shrinker_register(set->shrinker);
	return 0;
}

/* --------------------------------------------------------------- units */

static unsigned int blk_copy_max_units(const struct blk_copy *copy)
{
	/* Writes of a sequential zone must come one after the other. */
	return bdev_is_zoned(copy->dst) ? 1 : BLK_COPY_UNITS_PER_COPY;
}

static struct blk_copy_unit *blk_copy_take_unit(struct blk_copy *copy)
{
	struct list_head *entry = blk_copy_pool_take(copy,
						     &copy->set->unit_pool);
	struct blk_copy_unit *unit;

	if (entry)
		return list_entry(entry, struct blk_copy_unit, entry);
	if (!blk_copy_pool_take_extra(&copy->set->unit_pool))
		return NULL;
	unit = kzalloc_obj(*unit, BLK_COPY_GFP_EXTRA);
	if (unit)
		unit->extra = true;
	else
		blk_copy_pool_put_extra(&copy->set->unit_pool);
	return unit;
}

static void blk_copy_free_extra_unit(struct blk_copy *copy,
				     struct blk_copy_unit *unit)
{
	blk_copy_unit_free_pages(unit);
	kfree(unit);
	blk_copy_pool_put_extra(&copy->set->unit_pool);
}

static struct blk_copy_unit *__blk_copy_get_unit(struct blk_copy *copy, u32 want)
{
	struct blk_copy_unit *unit = blk_copy_take_unit(copy);

	if (!unit || blk_copy_unit_get_buffer(copy, unit, want))
		return unit;

	/*
	 * Nobody is woken: the buffers of the reserve are with units of the pool
	 * that are in flight, and each of these wakes somebody when it is back.
	 */
	if (unit->extra) {
		blk_copy_free_extra_unit(copy, unit);
		return NULL;
	}
	spin_lock_irq(&copy->set->lock);
	list_add_tail(&unit->entry, &copy->set->unit_pool.free);
	spin_unlock_irq(&copy->set->lock);
	return NULL;
}

static struct blk_copy_unit *blk_copy_get_unit(struct blk_copy *copy, u32 want)
{
	struct blk_copy_unit *unit;

	if (copy->nr_units >= blk_copy_max_units(copy))
		return NULL;
	unit = __blk_copy_get_unit(copy, want);
	if (!unit && !copy->nr_units) {
		/* Look again: one may have come back meanwhile. */
		blk_copy_pool_wait(copy, &copy->set->unit_pool);
		unit = __blk_copy_get_unit(copy, want);
	}
	if (unit) {
		blk_copy_pool_leave(copy, &copy->set->unit_pool);
		copy->nr_units++;
	}
	return unit;
}

static void blk_copy_put_unit(struct blk_copy *copy, struct blk_copy_unit *unit)
{
	struct blk_copy_set *set = copy->set;
	bool extra = unit->extra;

	blk_copy_unit_put_buffer(copy, unit);
	copy->nr_units--;
	if (extra)
		blk_copy_free_extra_unit(copy, unit);
	spin_lock_irq(&set->lock);
	if (!extra)
		list_add(&unit->entry, &set->unit_pool.free);
	blk_copy_pool_wake(set, &set->unit_pool);
	spin_unlock_irq(&set->lock);
}

/* ----------------------------------------------------------------- I/O */

static void blk_copy_unit_put_bio(struct blk_copy_unit *unit)
{
	struct blk_copy *copy = unit->chunk->copy;
	unsigned long flags;

	if (!atomic_dec_and_test(&unit->pending))
		return;
	spin_lock_irqsave(&copy->done_lock, flags);
	list_add_tail(&unit->entry, &copy->done_units);
	blk_copy_kick(copy);
	spin_unlock_irqrestore(&copy->done_lock, flags);
}

static void blk_copy_unit_end_io(struct bio *bio)
{
	struct blk_copy_unit *unit = bio->bi_private;

	blk_copy_debug_add(BLK_COPY_DBG_EMU_BIOS, -1);
	blk_copy_note_status(&unit->status, bio->bi_status);
	if (bio == &unit->in)
		bio_uninit(bio);
	else if (bio != &unit->bio)
		bio_put(bio);
	blk_copy_unit_put_bio(unit);
}

/* Blocks may have become larger since, by a format under the copy. */
static bool blk_copy_bio_aligned(const struct bio *bio)
{
	sector_t sector = bio->bi_bdev->bd_start_sect + bio->bi_iter.bi_sector;
	u32 mask = bdev_logical_block_size(bio->bi_bdev) - 1;

	return !(((u32)(sector << SECTOR_SHIFT) | bio->bi_iter.bi_size) & mask);
}

static void blk_copy_unit_submit(struct blk_copy_unit *unit, struct bio *bio)
{
	bio->bi_private = unit;
	bio->bi_end_io = blk_copy_unit_end_io;
	atomic_inc(&unit->pending);
	blk_copy_debug_add(BLK_COPY_DBG_EMU_BIOS, 1);
	if (likely(blk_copy_bio_aligned(bio))) {
		submit_bio(bio);
		return;
	}
	bio->bi_status = BLK_STS_INVAL;
	bio_endio(bio);
}

/* Without memory a unit still has a bio of its own for its first read. */
static struct bio *blk_copy_unit_read_bio(struct blk_copy_unit *unit, u32 off)
{
	struct blk_copy *copy = unit->chunk->copy;

	if (off)
		return bio_alloc_clone(copy->src, &unit->bio, GFP_NOIO,
				       &copy->set->bios);
	/* Fails for encrypted bios only. */
	bio_init_clone(copy->src, &unit->in, &unit->bio, GFP_NOIO);
	return &unit->in;
}

/* One bio per piece of a segment, all into the unit's buffer */
static void blk_copy_unit_read(struct blk_copy_unit *unit)
{
	struct blk_copy_chunk *chunk = unit->chunk;
	struct blk_copy *copy = chunk->copy;
	u64 pos = chunk->start + chunk->cur + unit->off;
	unsigned int idx = chunk->seg_idx;
	u64 start = chunk->seg_start;
	u32 off = 0;

	atomic_set(&unit->pending, 1);
	while (off < unit->len) {
		const struct blk_copy_segment *seg;
		struct bio *bio;
		u64 seg_off;
		u32 len;

		blk_copy_src_seek(copy, pos, &idx, &start);
		seg = &copy->segs[idx];
		seg_off = pos - start;
		len = min_t(u64, (seg->nr_sects << SECTOR_SHIFT) - seg_off,
			    unit->len - off);

		bio = blk_copy_unit_read_bio(unit, off);
		bio->bi_opf = REQ_OP_READ | REQ_SYNC;
		if (off)
			bio_advance(bio, off);
		bio->bi_iter.bi_size = len;
		bio->bi_iter.bi_sector = seg->sector + (seg_off >> SECTOR_SHIFT);
		blk_copy_unit_submit(unit, bio);
		off += len;
		pos += len;
	}
	blk_copy_unit_put_bio(unit);
}

static void blk_copy_unit_write(struct blk_copy_unit *unit)
{
	unit->writing = true;
	atomic_set(&unit->pending, 0);
	blk_copy_unit_submit(unit, &unit->bio);
}

static void blk_copy_unit_start(struct blk_copy_unit *unit,
				struct blk_copy_chunk *chunk, u32 off, u32 len)
{
	struct blk_copy *copy = chunk->copy;
	u64 pos = chunk->start + chunk->cur + off;
	struct bio *bio = &unit->bio;

	unit->chunk = chunk;
	unit->off = off;
	unit->len = min(len, unit->capacity);
	unit->status = BLK_STS_OK;
	unit->writing = false;
	chunk->units++;
	chunk->emu_next = off + unit->len;

	bio_init(bio, NULL, unit->vecs, unit->nr_vecs,
		 REQ_OP_WRITE | REQ_SYNC | REQ_IDLE);
	blk_copy_bio_target(copy, bio, copy->dst);
	bio->bi_vcnt = unit->nr_vecs;
	bio->bi_iter.bi_size = unit->len;
	bio->bi_iter.bi_sector = copy->dst_sector + (pos >> SECTOR_SHIFT);
	blk_copy_unit_read(unit);
}

/*
 * The next piece of a copy that nobody works on.  Holes between the slices that
 * devices have done are widened to blocks that both ends can take.
 */
static struct blk_copy_chunk *
blk_copy_next_hole(struct blk_copy *copy, u32 *off, u32 *len)
{
	struct blk_copy_chunk *chunk;

	list_for_each_entry(chunk, &copy->chunks, entry) {
		if (chunk->state != BLK_COPY_CHUNK_EMULATE ||
		    chunk->emu_status != BLK_STS_OK ||
		    blk_copy_chunk_stopped(chunk))
			continue;
		if (blk_copy_map_next_hole(&chunk->token.done, chunk->emu_next,
					   chunk->step, off, len)) {
			*len = round_up(*off + *len, copy->granule);
			*off = round_down(*off, copy->granule);
			*len -= *off;
			return chunk;
		}
	}
	return NULL;
}

/**
 * blk_copy_emulated - is nothing of the present step left to read?
 * @chunk:	a chunk that is emulated, without an error so far
 *
 * The holes are taken one after the other, so this needs no map of what was
 * written: such a map may run out of slices.
 *
 * Return: true if every hole was taken by a unit.
 */
bool blk_copy_emulated(const struct blk_copy_chunk *chunk)
{
	u32 off, len;

	return !blk_copy_map_next_hole(&chunk->token.done, chunk->emu_next,
				       chunk->step, &off, &len);
}

/**
 * blk_copy_emulate - start as many units as there is work and room for
 * @copy:	the copy; called by its runner
 *
 * Return: true if any was started.
 */
bool blk_copy_emulate(struct blk_copy *copy)
{
	struct blk_copy_chunk *chunk;
	struct blk_copy_unit *unit;
	bool progress = false;
	u32 off, len;

	while ((chunk = blk_copy_next_hole(copy, &off, &len))) {
		unit = blk_copy_get_unit(copy, len);
		if (!unit)
			break;
		blk_copy_unit_start(unit, chunk, off, len);
		progress = true;
	}
	return progress;
}

static void blk_copy_unit_settle(struct blk_copy_unit *unit)
{
	struct blk_copy_chunk *chunk = unit->chunk;

	bio_uninit(&unit->bio);
	chunk->units--;
	if (unit->status == BLK_STS_OK && !unit->writing) {
		chunk->emu_stopped = true;
	} else if (unit->status == BLK_STS_OK) {
		blk_copy_map_add(&chunk->done, unit->off, unit->len);
	} else if (chunk->emu_status == BLK_STS_OK ||
		   unit->off < chunk->emu_fail) {
		chunk->emu_status = unit->status;
		chunk->emu_fail = unit->off;
	}
}

/* Nothing is written any more behind a failure, nor after a fatal signal. */
static bool blk_copy_unit_stopped(const struct blk_copy_unit *unit)
{
	const struct blk_copy_chunk *chunk = unit->chunk;

	return blk_copy_chunk_stopped(chunk) ||
		(chunk->emu_status != BLK_STS_OK && unit->off > chunk->emu_fail);
}

/**
 * blk_copy_unit_ended - a unit has read or written
 * @unit:	the unit; called by the runner of its copy
 *
 * After the read comes the write, unless the copy has stopped; after the write
 * the next piece with the same buffer, unless somebody else waits for it, or it
 * is from the reserve and there may be memory again.
 */
void blk_copy_unit_ended(struct blk_copy_unit *unit)
{
	struct blk_copy *copy = unit->chunk->copy;
	struct blk_copy_chunk *next = NULL;
	u32 off, len;

	if (unit->status == BLK_STS_OK && !unit->writing &&
	    !blk_copy_unit_stopped(unit)) {
		blk_copy_unit_write(unit);
		return;
	}
	blk_copy_unit_settle(unit);
	if (!unit->reserve &&
	    list_empty_careful(&copy->set->unit_pool.waiters))
		next = blk_copy_next_hole(copy, &off, &len);
	if (next) {
		blk_copy_unit_grow(copy, unit, len);
		blk_copy_unit_start(unit, next, off, len);
	} else {
		blk_copy_put_unit(copy, unit);
	}
}
