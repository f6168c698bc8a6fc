// SPDX-License-Identifier: GPL-2.0
/*
 * Copy offload: kernel API and policy.
 *
 * A copy is chopped into chunks, of which a few are in flight.  A chunk goes
 * forward in steps, each with a token of its own: COPY_INs fill it, one
 * COPY_OUT spends it, and what is not proven done after that is read and
 * written (blk-copy-emulate.c) unless the caller forbade it.
 *
 * All decisions about one copy are made by one thread at a time, its runner:
 * the issuer if it waits, else a worker.  Completion handlers only put chunks
 * and units on a list and kick the runner; they never submit and never wait.
 */
#include <linux/export.h>
#include <linux/ioprio.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched/signal.h>
#include <linux/shrinker.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "blk.h"
#include "blk-cgroup.h"
#include "blk-copy-internal.h"
#include "blk-throttle.h"

#define CREATE_TRACE_POINTS
#include <trace/events/blk_copy.h>

/* Chunks of one copy that are in flight together */
#define BLK_COPY_WINDOW			4
/* Bytes of a chunk unless larger commands are allowed, and where throttled */
#define BLK_COPY_CHUNK_BYTES		SZ_16M
#define BLK_COPY_CHUNK_BYTES_THROTTLED	SZ_2M
#define BLK_COPY_CHUNK_BYTES_MAX	SZ_1G
/* A stale token is filled again this often; more where nobody emulates */
#define BLK_COPY_STALE_RETRIES		1
#define BLK_COPY_STALE_RETRIES_FORBIDDEN 4
/* Chunks that devices may refuse, or fail, before a call stops trying */
#define BLK_COPY_REFUSED_MAX		3
/* What the front doors share */
#define BLK_COPY_FRONT_CHUNKS		16
#define BLK_COPY_FRONT_UNITS		32

#define BLK_COPY_REFUSED_FLAGS	(REQ_FUA | REQ_PREFLUSH | REQ_ATOMIC | \
				 REQ_POLLED | REQ_NOWAIT | REQ_RAHEAD)

static struct blk_copy_set blk_copy_front_set;

/* -------------------------------------------------- hooks of the core */

/* The part of the gate that does not depend on the queue */
blk_status_t __blk_copy_check_bio(struct bio *bio)
{
	if (!bio->bi_io_vec || bio->bi_io_vec->bv_page ||
	    bio->bi_io_vec->bv_len != BLK_COPY_BV_LEN || bio->bi_vcnt)
		return BLK_STS_INVAL;
	if (!bio->bi_iter.bi_size || (bio->bi_opf & BLK_COPY_REFUSED_FLAGS))
		return BLK_STS_INVAL;
	if (bio_has_crypt_ctx(bio))
		return BLK_STS_INVAL;
	/* A dry run moves nothing: no bytes are charged or counted for it. */
	if (bio_copy_dry_run(bio)) {
		bio_set_flag(bio, BIO_BPS_THROTTLED);
		bio_set_flag(bio, BIO_CGROUP_ACCT);
	}
	return BLK_STS_OK;
}

void __blk_copy_in(struct bio *bio)
{
	const struct block_device_operations *fops = bio->bi_bdev->bd_disk->fops;

	if (fops->copy_in) {
		fops->copy_in(bio);
		return;
	}
	bio->bi_status = BLK_STS_NOTSUPP;
	bio_endio(bio);
}

/* ------------------------------------------------------- kick and run */

/*
 * Tell the runner that something has happened.  Called under a lock that the
 * runner takes before it ends the copy, done_lock or that of the set: without
 * one, the copy and even the task could be gone between the two statements.
 */
void blk_copy_kick(struct blk_copy *copy)
{
	bool idle = !atomic_fetch_inc(&copy->events);

	if (copy->task)
		wake_up_process(copy->task);
	else if (idle)
		queue_work(copy->set->wq, &copy->work);
}

/*
 * Send a bio to a device on behalf of whoever asked for the copy, whichever
 * thread submits it.  The bio was made without a device, so that it is charged
 * to one group only.
 */
void blk_copy_bio_target(struct blk_copy *copy, struct bio *bio,
			 struct block_device *bdev)
{
	bio->bi_bdev = bdev;
	bio->bi_ioprio = copy->ioprio;
	if (copy->css)
		bio_associate_blkg_from_css(bio, copy->css);
	else
		bio_associate_blkg(bio);
}

/**
 * blk_copy_src_seek - find the segment of an offset
 * @copy:	the copy
 * @pos:	offset in bytes from its start, inside the copy
 * @idx:	in: a segment at or before @pos; out: the segment of @pos
 * @start:	offset of the first byte of segment @idx
 */
void blk_copy_src_seek(const struct blk_copy *copy, u64 pos,
		       unsigned int *idx, u64 *start)
{
	u64 len;

	while (pos >= *start + (len = copy->segs[*idx].nr_sects << SECTOR_SHIFT)) {
		*start += len;
		(*idx)++;
	}
}

static void blk_copy_check_killed(struct blk_copy *copy)
{
	if ((copy->flags & BLK_COPY_KILLABLE) && copy->task &&
	    fatal_signal_pending(current))
		copy->killed = true;
}

/* A chunk stops at once if the copy is killed or one before it has failed. */
bool blk_copy_chunk_stopped(const struct blk_copy_chunk *chunk)
{
	return READ_ONCE(chunk->copy->killed) ||
		chunk->start > chunk->copy->fail_at;
}

/* Where on the destination the present step of a chunk goes */
static sector_t blk_copy_chunk_sector(const struct blk_copy_chunk *chunk)
{
	return chunk->copy->dst_sector +
		((chunk->start + chunk->cur) >> SECTOR_SHIFT);
}

/* -------------------------------------------------------- COPY_IN, OUT */

static void blk_copy_chunk_done(struct blk_copy_chunk *chunk)
{
	struct blk_copy *copy = chunk->copy;
	unsigned long flags;

	spin_lock_irqsave(&copy->done_lock, flags);
	list_add_tail(&chunk->done_entry, &copy->done_chunks);
	blk_copy_kick(copy);
	spin_unlock_irqrestore(&copy->done_lock, flags);
}

static void blk_copy_in_end_io(struct bio *bio)
{
	struct blk_copy_chunk *chunk = bio->bi_private;

	blk_copy_note_status(&chunk->status, bio->bi_status);
	if (bio == &chunk->in)
		bio_uninit(bio);
	else
		bio_put(bio);
	if (atomic_dec_and_test(&chunk->pending))
		blk_copy_chunk_done(chunk);
}

static void blk_copy_out_end_io(struct bio *bio)
{
	struct blk_copy_chunk *chunk = bio->bi_private;

	blk_copy_debug_add(BLK_COPY_DBG_OUTS, -1);
	blk_copy_note_status(&chunk->status, bio->bi_status);
	blk_copy_chunk_done(chunk);
}

static void blk_copy_send_one_in(struct blk_copy_chunk *chunk, sector_t sector,
				 u32 off, u32 len)
{
	struct blk_copy *copy = chunk->copy;
	const blk_opf_t opf = REQ_OP_COPY_IN | REQ_NOMERGE;
	struct bio *bio = &chunk->in;

	/* Most steps need one. */
	if (off)
		bio = bio_alloc_bioset(NULL, 0, opf, GFP_NOIO,
				       &copy->set->bios);
	else
		bio_init(bio, NULL, NULL, 0, opf);
	blk_copy_bio_target(copy, bio, copy->src);
	bio->bi_io_vec = &chunk->token.layer[0].bv;
	bio->bi_iter.bi_sector = sector;
	bio->bi_iter.bi_size = len;
	bio->bi_iter.blk_copy_iter_off = off;
	bio->bi_private = chunk;
	bio->bi_end_io = blk_copy_in_end_io;
	atomic_inc(&chunk->pending);
	submit_bio(bio);
}

/*
 * Fill the token of a step: one COPY_IN per piece of a segment.  The first one
 * may end inside submit_bio(), so the issuer counts as one more until all are
 * sent.  Returns true if all have ended by then, the usual case.
 */
static bool blk_copy_send_in(struct blk_copy_chunk *chunk)
{
	struct blk_copy *copy = chunk->copy;
	u64 pos = chunk->start + chunk->cur, end = pos + chunk->step;
	unsigned int idx = chunk->seg_idx;
	u64 start = chunk->seg_start;
	u32 off = 0;

	blk_copy_token_init(&chunk->token, chunk->step);
	if (copy->flags & BLK_COPY_DRY_RUN)
		set_bit(BLK_COPY_TOKEN_DRY_RUN, &chunk->token.flags);
	chunk->state = BLK_COPY_CHUNK_IN;
	chunk->status = BLK_STS_OK;
	atomic_set(&chunk->pending, 1);

	while (pos < end &&
	       !test_bit(BLK_COPY_TOKEN_OVERFLOW, &chunk->token.flags)) {
		const struct blk_copy_segment *seg;
		u64 seg_off;
		u32 len;

		blk_copy_src_seek(copy, pos, &idx, &start);
		seg = &copy->segs[idx];
		seg_off = pos - start;
		len = min((seg->nr_sects << SECTOR_SHIFT) - seg_off, end - pos);
		blk_copy_send_one_in(chunk,
				     seg->sector + (seg_off >> SECTOR_SHIFT),
				     off, len);
		off += len;
		pos += len;
	}
	return atomic_dec_and_test(&chunk->pending);
}

static void blk_copy_send_out(struct blk_copy_chunk *chunk)
{
	struct blk_copy *copy = chunk->copy;
	struct bio *bio = &chunk->out;

	trace_blk_copy_token(chunk);
	chunk->state = BLK_COPY_CHUNK_OUT;
	bio_init(bio, NULL, NULL, 0, REQ_OP_COPY_OUT | REQ_NOMERGE);
	blk_copy_bio_target(copy, bio, copy->dst);
	bio->bi_io_vec = &chunk->token.layer[0].bv;
	bio->bi_iter.bi_sector = blk_copy_chunk_sector(chunk);
	bio->bi_iter.bi_size = chunk->step;
	bio->bi_iter.blk_copy_iter_off = 0;
	bio->bi_private = chunk;
	bio->bi_end_io = blk_copy_out_end_io;
	blk_copy_debug_add(BLK_COPY_DBG_OUTS, 1);
	submit_bio(bio);
}

/* ------------------------------------------------- a chunk, step by step */

/*
 * Is there any hope?  Two definite domains that differ mean that no leaf of the
 * one can copy from a leaf of the other: trying would only charge both ends for
 * bios that move nothing.
 */
static bool blk_copy_may_offload(const struct blk_copy *copy)
{
	u64 src = bdev_get_queue(copy->src)->limits.copy.domain;
	u64 dst = bdev_get_queue(copy->dst)->limits.copy.domain;

	if (src != dst && src != BLK_COPY_DOMAIN_MIXED &&
	    dst != BLK_COPY_DOMAIN_MIXED)
		return false;
	return !copy->hint.no_offload &&
		blk_copy_is_source(&bdev_get_queue(copy->src)->limits.copy) &&
		bdev_max_copy_sectors(copy->dst);
}

static void blk_copy_chunk_fail(struct blk_copy_chunk *chunk, int error)
{
	struct blk_copy *copy = chunk->copy;

	chunk->error = error;
	chunk->state = BLK_COPY_CHUNK_ENDED;
	copy->fail_at = min(copy->fail_at, chunk->start);
}

/* A step is over: count it, and begin the next or end the chunk. */
static void blk_copy_chunk_settle(struct blk_copy_chunk *chunk)
{
	const struct blk_copy_map *done = &chunk->token.done;
	u64 offloaded = blk_copy_map_below(done, chunk->step);

	/*
	 * A map that lost a slice knows too little, but not after success.  On
	 * a dry run its sum is nothing to go by: a leaf may mark a slice twice.
	 */
	if (done->lost && chunk->state != BLK_COPY_CHUNK_EMULATE &&
	    !(chunk->copy->flags & BLK_COPY_DRY_RUN))
		offloaded = min_t(u64, done->bytes, chunk->step);
	chunk->offloaded += offloaded;
	if (!(chunk->copy->flags & BLK_COPY_DRY_RUN))
		chunk->emulated += chunk->step - offloaded;
	chunk->cur += chunk->step;
	chunk->step = 0;
	chunk->retries = 0;
	chunk->state = chunk->cur < chunk->len ? BLK_COPY_CHUNK_STEP :
						 BLK_COPY_CHUNK_ENDED;
}

/*
 * A command that may still be executed would write what its source holds by then,
 * perhaps long after the copy was reported as complete and both ends have changed.
 * Unlike a write that comes late, it does harm even if nobody wrote there since.
 */
static bool blk_copy_may_emulate(const struct blk_copy_chunk *chunk)
{
	return !(chunk->copy->flags & BLK_COPY_NO_EMULATION) &&
		!test_bit(BLK_COPY_TOKEN_LOST, &chunk->token.flags);
}

/* Never silent: a device took the command and then failed it, or has gone. */
static void blk_copy_report_error(struct blk_copy_chunk *chunk)
{
	struct blk_copy *copy = chunk->copy;

	blk_copy_stat_add(copy->dst->bd_disk, BLK_COPY_STAT_ERROR_FALLBACKS, 1);
	pr_warn_ratelimited("%pg: copy %s failed (%s error): %s %u bytes at sector %llu\n",
			    copy->dst,
			    chunk->state == BLK_COPY_CHUNK_IN ? "source" : "command",
			    blk_status_to_str(chunk->status),
			    blk_copy_may_emulate(chunk) ?
				"reading and writing" : "giving up on",
			    chunk->step, (u64)blk_copy_chunk_sector(chunk));
}

static int blk_copy_refusal_errno(const struct blk_copy_chunk *chunk)
{
	/* Whatever else has failed, or what a stack has made of it */
	if (test_bit(BLK_COPY_TOKEN_LOST, &chunk->token.flags))
		return -ENOLINK;
	if (chunk->reason == BLK_COPY_REASON_ERROR)
		return blk_status_to_errno(chunk->status);
	if (chunk->reason == BLK_COPY_REASON_STALE)
		return -EAGAIN;
	return -EOPNOTSUPP;
}

/*
 * What a call learns from a piece that was not offloaded.  A device that cannot,
 * or fails, is asked a few times; one that does not answer keeps the call waiting
 * for its timeout, and is not asked again.
 */
static void blk_copy_learn(struct blk_copy_chunk *chunk)
{
	struct blk_copy_hint *hint = &chunk->copy->hint;
	bool error = chunk->reason == BLK_COPY_REASON_ERROR;

	if (error && (chunk->status == BLK_STS_TIMEOUT ||
		      chunk->status == BLK_STS_TRANSPORT))
		hint->no_offload = true;
	else if ((error || !chunk->token.done.nr) &&
		 ++hint->nr_refused >= BLK_COPY_REFUSED_MAX)
		hint->no_offload = true;
}

/* The step, or what is left of it, cannot be offloaded. */
static void blk_copy_chunk_fallback(struct blk_copy_chunk *chunk,
				    enum blk_copy_reason reason)
{
	struct blk_copy *copy = chunk->copy;

	chunk->reason = reason;
	if (copy->flags & BLK_COPY_DRY_RUN) {
		blk_copy_chunk_settle(chunk);
		return;
	}
	trace_blk_copy_fallback(chunk);
	if (reason == BLK_COPY_REASON_ERROR)
		blk_copy_report_error(chunk);
	blk_copy_learn(chunk);

	if (test_bit(BLK_COPY_TOKEN_WHOLE_ONLY, &chunk->token.flags))
		blk_copy_map_init(&chunk->token.done);
	blk_copy_map_init(&chunk->done);
	copy->lost |= test_bit(BLK_COPY_TOKEN_LOST, &chunk->token.flags);
	if (!blk_copy_may_emulate(chunk)) {
		blk_copy_chunk_fail(chunk, blk_copy_refusal_errno(chunk));
		return;
	}
	chunk->emu_next = 0;
	chunk->emu_status = BLK_STS_OK;
	chunk->emu_stopped = false;
	chunk->state = BLK_COPY_CHUNK_EMULATE;
}

/* Fill the token of this step again, from the mapping as it is then. */
static void blk_copy_chunk_again(struct blk_copy_chunk *chunk)
{
	chunk->step = 0;
	chunk->state = BLK_COPY_CHUNK_STEP;
}

static unsigned int blk_copy_stale_retries(const struct blk_copy *copy)
{
	return copy->flags & BLK_COPY_NO_EMULATION ?
		BLK_COPY_STALE_RETRIES_FORBIDDEN : BLK_COPY_STALE_RETRIES;
}

static bool blk_copy_chunk_stale(struct blk_copy_chunk *chunk)
{
	if (!test_bit(BLK_COPY_TOKEN_STALE, &chunk->token.flags))
		return false;
	blk_copy_stat_add(chunk->copy->dst->bd_disk, BLK_COPY_STAT_STALE, 1);
	blk_copy_debug_add(BLK_COPY_DBG_STALE, 1);
	return true;
}

static void blk_copy_chunk_retry_stale(struct blk_copy_chunk *chunk)
{
	if (chunk->retries++ < blk_copy_stale_retries(chunk->copy))
		blk_copy_chunk_again(chunk);
	else
		blk_copy_chunk_fallback(chunk, BLK_COPY_REASON_STALE);
}

/* Fill and send again with half the size; false if that is too small. */
static bool blk_copy_chunk_halve(struct blk_copy_chunk *chunk)
{
	struct blk_copy *copy = chunk->copy;
	u32 half;

	blk_copy_stat_add(copy->dst->bd_disk, BLK_COPY_STAT_OVERFLOW, 1);
	half = round_down(chunk->step / 2, copy->granule);
	if (!half)
		return false;
	copy->hint.step_bytes = min(copy->hint.step_bytes, half);
	return true;
}

static void blk_copy_chunk_in_done(struct blk_copy_chunk *chunk)
{
	if (chunk->status == BLK_STS_OK)
		chunk->status = blk_copy_token_prepare(&chunk->token);
	if (chunk->status == BLK_STS_OK) {
		blk_copy_debug_pause();
		blk_copy_check_killed(chunk->copy);
		/* A chunk that has stopped ends before its next step. */
		if (blk_copy_chunk_stopped(chunk))
			blk_copy_chunk_again(chunk);
		else
			blk_copy_send_out(chunk);
		return;
	}
	if (blk_copy_chunk_stale(chunk)) {
		blk_copy_chunk_retry_stale(chunk);
		return;
	}
	if (test_bit(BLK_COPY_TOKEN_OVERFLOW, &chunk->token.flags)) {
		if (blk_copy_chunk_halve(chunk))
			blk_copy_chunk_again(chunk);
		else
			blk_copy_chunk_fallback(chunk, BLK_COPY_REASON_OVERFLOW);
		return;
	}
	blk_copy_chunk_fallback(chunk, chunk->status == BLK_STS_NOTSUPP ?
				BLK_COPY_REASON_IN : BLK_COPY_REASON_ERROR);
}

/**
 * blk_copy_chunk_proven - is all of a step copied?
 * @chunk:	a chunk whose COPY_OUT has ended
 *
 * Success takes two witnesses: the status from above, and a report of every
 * byte from the leaves below.  A driver that ends a COPY_OUT without executing
 * it would otherwise pass for one that did.  Mirrors report bytes more than
 * once and vouch for them with the status alone.
 *
 * Return: true if so.
 */
bool blk_copy_chunk_proven(const struct blk_copy_chunk *chunk)
{
	const struct blk_copy_map *done = &chunk->token.done;

	if (chunk->status != BLK_STS_OK)
		return false;
	/* A map that is full still has the sum, if no piece came twice. */
	return test_bit(BLK_COPY_TOKEN_WHOLE_ONLY, &chunk->token.flags) ||
		blk_copy_map_prefix(done) == chunk->step ||
		(done->lost && done->bytes == chunk->step);
}

/* Did a device fail a command, or nobody know what became of it? */
static bool blk_copy_chunk_failed(const struct blk_copy_chunk *chunk)
{
	return (chunk->status != BLK_STS_OK &&
		chunk->status != BLK_STS_NOTSUPP) ||
		test_bit(BLK_COPY_TOKEN_DEV_ERROR, &chunk->token.flags);
}

static void blk_copy_chunk_out_done(struct blk_copy_chunk *chunk)
{
	bool failed = blk_copy_chunk_failed(chunk), stale;

	bio_uninit(&chunk->out);
	if (blk_copy_chunk_proven(chunk)) {
		blk_copy_chunk_settle(chunk);
		return;
	}
	if (chunk->status == BLK_STS_OK)
		chunk->status = BLK_STS_NOTSUPP;
	stale = blk_copy_chunk_stale(chunk);
	if (stale && !failed) {
		blk_copy_chunk_retry_stale(chunk);
		return;
	}
	/* One piece was refused, which says nothing about another that failed. */
	if (failed && chunk->status == BLK_STS_NOTSUPP)
		chunk->status = BLK_STS_IOERR;
	blk_copy_chunk_fallback(chunk, failed ? BLK_COPY_REASON_ERROR :
					BLK_COPY_REASON_OUT);
}

/*
 * Bytes of the next step: no more segments than a token has entries for, and no
 * more than the administrator lets a stacked device have, which cuts nothing.
 */
static u32 blk_copy_step_bytes(const struct blk_copy_chunk *chunk)
{
	const struct blk_copy *copy = chunk->copy;
	const struct blk_copy_limits *lim = &bdev_get_queue(copy->dst)->limits.copy;
	u64 pos = chunk->start + chunk->cur, first = pos;
	u64 bytes = min(chunk->len - chunk->cur, copy->hint.step_bytes);
	unsigned int idx = chunk->seg_idx, n;
	u64 start = chunk->seg_start;
	u64 limit = bytes;

	if (lim->stackable)
		limit = min(limit, (u64)lim->max_user_sectors << SECTOR_SHIFT);
	for (n = 0; n < BLK_COPY_TOKEN_ENTRIES && pos - first < limit; n++) {
		blk_copy_src_seek(copy, pos, &idx, &start);
		pos = start + (copy->segs[idx].nr_sects << SECTOR_SHIFT);
	}
	limit = min(limit, pos - first);
	if (limit < bytes)
		bytes = max(round_down((u32)limit, copy->granule),
			    min(copy->granule, (u32)bytes));
	return bytes;
}

static void blk_copy_chunk_step(struct blk_copy_chunk *chunk)
{
	struct blk_copy *copy = chunk->copy;

	/* The token of the step before, or of the attempt before. */
	blk_copy_token_release(&chunk->token);
	blk_copy_map_init(&chunk->token.done);
	chunk->token.flags = 0;
	if (!blk_copy_may_offload(copy)) {
		chunk->step = chunk->len - chunk->cur;
		chunk->status = BLK_STS_NOTSUPP;
		blk_copy_chunk_fallback(chunk, BLK_COPY_REASON_LIMIT);
		return;
	}
	chunk->step = blk_copy_step_bytes(chunk);
	if (blk_copy_send_in(chunk))
		blk_copy_chunk_in_done(chunk);
}

/* Bring a chunk that has nothing in flight as far as it goes. */
static void blk_copy_chunk_run(struct blk_copy_chunk *chunk)
{
	if (chunk->state == BLK_COPY_CHUNK_IN)
		blk_copy_chunk_in_done(chunk);
	else if (chunk->state == BLK_COPY_CHUNK_OUT)
		blk_copy_chunk_out_done(chunk);

	while (chunk->state == BLK_COPY_CHUNK_STEP) {
		if (blk_copy_chunk_stopped(chunk))
			blk_copy_chunk_fail(chunk, -EINTR);
		else
			blk_copy_chunk_step(chunk);
	}
}

/* --------------------------------------------------- the copy as a whole */

/* A copy was woken, and has got something, waits again, or needs no more. */
static void blk_copy_pool_served(struct blk_copy *copy)
	__must_hold(&copy->set->lock)
{
	if (copy->woken)
		copy->pool->nr_woken--;
	copy->woken = false;
}

/* Whoever was woken comes first, then whoever waits: the others let them. */
static bool blk_copy_pool_turn(const struct blk_copy *copy,
			       const struct blk_copy_pool *pool)
	__must_hold(&copy->set->lock)
{
	if (copy->woken && copy->pool == pool)
		return true;
	return !pool->nr_woken && (list_empty(&pool->waiters) ||
				   pool->waiters.next == &copy->wait_entry);
}

/**
 * blk_copy_pool_take - take something out of a pool
 * @copy:	for whom; called by its runner
 * @pool:	a pool of its set
 *
 * One that waits goes on waiting until it says that it has all that it needs: a
 * unit is of no use without a buffer.
 *
 * Return: the first element, NULL if there is none or others come first.
 */
struct list_head *blk_copy_pool_take(struct blk_copy *copy,
				     struct blk_copy_pool *pool)
{
	struct list_head *entry = NULL;

	spin_lock_irq(&copy->set->lock);
	if (!list_empty(&pool->free) && blk_copy_pool_turn(copy, pool)) {
		entry = pool->free.next;
		list_del(entry);
		if (copy->pool == pool)
			blk_copy_pool_served(copy);
	}
	spin_unlock_irq(&copy->set->lock);
	return entry;
}

/**
 * blk_copy_pool_take_extra - may one more be made than the set has?
 * @pool:	a pool of the set
 *
 * Without a bound those who do not wait for their copies could take all memory.
 *
 * Return: true if so; blk_copy_pool_put_extra() follows when it is freed.
 */
bool blk_copy_pool_take_extra(struct blk_copy_pool *pool)
{
	if (atomic_inc_return(&pool->nr_extra) <= pool->max_extra)
		return true;
	atomic_dec(&pool->nr_extra);
	return false;
}

/**
 * blk_copy_pool_put_extra - one of these is freed
 * @pool:	a pool of the set
 */
void blk_copy_pool_put_extra(struct blk_copy_pool *pool)
{
	atomic_dec(&pool->nr_extra);
}

static struct blk_copy_chunk *blk_copy_get_chunk(struct blk_copy *copy)
{
	struct list_head *entry = blk_copy_pool_take(copy,
						     &copy->set->chunk_pool);
	struct blk_copy_chunk *chunk;

	if (entry) {
		chunk = list_entry(entry, struct blk_copy_chunk, entry);
	} else {
		if (!blk_copy_pool_take_extra(&copy->set->chunk_pool))
			return NULL;
		chunk = kzalloc_obj(*chunk, BLK_COPY_GFP_EXTRA);
		if (!chunk) {
			blk_copy_pool_put_extra(&copy->set->chunk_pool);
			return NULL;
		}
		INIT_LIST_HEAD(&chunk->entry);
		chunk->extra = true;
	}
	blk_copy_pool_leave(copy, &copy->set->chunk_pool);
	return chunk;
}

static void blk_copy_put_chunk(struct blk_copy_chunk *chunk)
{
	struct blk_copy_set *set = chunk->copy->set;

	blk_copy_token_release(&chunk->token);
	list_del(&chunk->entry);
	if (chunk->extra)
		blk_copy_pool_put_extra(&set->chunk_pool);
	spin_lock_irq(&set->lock);
	if (!chunk->extra)
		list_add(&chunk->entry, &set->chunk_pool.free);
	blk_copy_pool_wake(set, &set->chunk_pool);
	spin_unlock_irq(&set->lock);
	if (chunk->extra)
		kfree(chunk);
}

/**
 * blk_copy_pool_wake - something has come back
 * @set:	a set
 * @pool:	the pool of it
 *
 * Context: under the lock of the set, so that a waiter cannot end meanwhile.
 */
void blk_copy_pool_wake(struct blk_copy_set *set, struct blk_copy_pool *pool)
{
	struct blk_copy *copy;

	lockdep_assert_held(&set->lock);
	copy = list_first_entry_or_null(&pool->waiters, struct blk_copy,
					wait_entry);
	if (copy) {
		list_del_init(&copy->wait_entry);
		copy->woken = true;
		pool->nr_woken++;
		blk_copy_kick(copy);
	}
}

/* What a copy was woken for is the next one's, if it has not taken it. */
static void blk_copy_pool_pass_on(struct blk_copy *copy)
	__must_hold(&copy->set->lock)
{
	if (copy->woken) {
		blk_copy_pool_served(copy);
		blk_copy_pool_wake(copy->set, copy->pool);
	}
}

/**
 * blk_copy_pool_wait - let a copy wait for a pool
 * @copy:	the copy, which holds nothing of that pool
 * @pool:	the pool, found empty; to be looked at once more
 *
 * What the pool had is in flight by definition, and wakes one waiter when it
 * comes back.  A copy waits for one pool at a time: without a chunk it needs no
 * unit, and it waits for units only with a chunk.
 */
void blk_copy_pool_wait(struct blk_copy *copy, struct blk_copy_pool *pool)
{
	spin_lock_irq(&copy->set->lock);
	if (copy->pool != pool)
		blk_copy_pool_pass_on(copy);
	blk_copy_pool_served(copy);
	if (list_empty(&copy->wait_entry)) {
		copy->pool = pool;
		list_add_tail(&copy->wait_entry, &pool->waiters);
		blk_copy_debug_add(BLK_COPY_DBG_STARVED, 1);
	}
	spin_unlock_irq(&copy->set->lock);
}

/* The lock also waits for whoever is about to kick this copy. */
static void blk_copy_pool_leave_any(struct blk_copy *copy)
{
	spin_lock_irq(&copy->set->lock);
	list_del_init(&copy->wait_entry);
	blk_copy_pool_pass_on(copy);
	copy->pool = NULL;
	spin_unlock_irq(&copy->set->lock);
}

/**
 * blk_copy_pool_leave - a copy needs nothing of a pool, now or for ever
 * @copy:	the copy; called by its runner
 * @pool:	the pool
 *
 * Does nothing for a copy that does not wait for this pool.  Its turn is the
 * next one's: kept by one who needs nothing, it would hold up all the others.
 */
void blk_copy_pool_leave(struct blk_copy *copy, struct blk_copy_pool *pool)
{
	/* Only the runner chooses the pool that it waits for. */
	if (copy->pool == pool)
		blk_copy_pool_leave_any(copy);
}

/* Woken, and no use for it: what it waited for came from somewhere else. */
static void blk_copy_pool_give_up_turn(struct blk_copy *copy)
{
	if (READ_ONCE(copy->woken))
		blk_copy_pool_leave_any(copy);
}

static bool blk_copy_wants_chunk(const struct blk_copy *copy)
{
	return copy->next < copy->len && copy->nr_chunks < BLK_COPY_WINDOW &&
		copy->fail_at == U64_MAX && !READ_ONCE(copy->killed);
}

static void blk_copy_add_chunk(struct blk_copy *copy,
			       struct blk_copy_chunk *chunk)
{
	blk_copy_src_seek(copy, copy->next, &copy->seg_idx, &copy->seg_start);
	chunk->copy = copy;
	chunk->start = copy->next;
	chunk->len = min_t(u64, copy->len - copy->next, copy->chunk_bytes);
	chunk->cur = 0;
	chunk->step = 0;
	chunk->retries = 0;
	chunk->units = 0;
	chunk->error = 0;
	chunk->seg_idx = copy->seg_idx;
	chunk->seg_start = copy->seg_start;
	chunk->offloaded = 0;
	chunk->emulated = 0;
	chunk->state = BLK_COPY_CHUNK_STEP;
	list_add_tail(&chunk->entry, &copy->chunks);
	copy->nr_chunks++;
	copy->next += chunk->len;
}

static bool blk_copy_start_chunks(struct blk_copy *copy)
{
	struct blk_copy_chunk *chunk;
	bool progress = false;

	while (blk_copy_wants_chunk(copy)) {
		chunk = blk_copy_get_chunk(copy);
		if (!chunk && !copy->nr_chunks) {
			/* Look again: one may have come back meanwhile. */
			blk_copy_pool_wait(copy, &copy->set->chunk_pool);
			chunk = blk_copy_get_chunk(copy);
		}
		if (!chunk)
			break;
		blk_copy_add_chunk(copy, chunk);
		blk_copy_chunk_run(chunk);
		progress = true;
	}
	return progress;
}

static bool blk_copy_harvest(struct blk_copy *copy)
{
	LIST_HEAD(chunks);
	LIST_HEAD(units);
	bool progress;

	/* What comes later comes with an event. */
	if (data_race(list_empty_careful(&copy->done_chunks) &&
		      list_empty_careful(&copy->done_units)))
		return false;
	spin_lock_irq(&copy->done_lock);
	list_splice_init(&copy->done_chunks, &chunks);
	list_splice_init(&copy->done_units, &units);
	spin_unlock_irq(&copy->done_lock);

	progress = !list_empty(&chunks) || !list_empty(&units);
	while (!list_empty(&chunks)) {
		struct blk_copy_chunk *chunk = list_first_entry(&chunks,
				struct blk_copy_chunk, done_entry);

		list_del(&chunk->done_entry);
		blk_copy_chunk_run(chunk);
	}
	while (!list_empty(&units)) {
		struct blk_copy_unit *unit = list_first_entry(&units,
				struct blk_copy_unit, entry);

		list_del(&unit->entry);
		blk_copy_unit_ended(unit);
	}
	return progress;
}

/* An emulated step ends when all of it is written, or nothing is in flight. */
static bool blk_copy_end_emulation(struct blk_copy *copy)
{
	struct blk_copy_chunk *chunk;
	bool progress = false;
	int error;

	list_for_each_entry(chunk, &copy->chunks, entry) {
		if (chunk->state != BLK_COPY_CHUNK_EMULATE || chunk->units)
			continue;
		error = blk_status_to_errno(chunk->emu_status);
		if (error)
			blk_copy_chunk_fail(chunk, error);
		else if (chunk->emu_stopped)
			blk_copy_chunk_fail(chunk, -EINTR);
		else if (blk_copy_emulated(chunk))
			blk_copy_chunk_settle(chunk);
		else if (blk_copy_chunk_stopped(chunk))
			blk_copy_chunk_fail(chunk, -EINTR);
		else
			continue;
		progress = true;
		blk_copy_chunk_run(chunk);
	}
	return progress;
}

/**
 * blk_copy_fold_chunk - take the result of the first chunk into the copy
 * @copy:	the copy; all chunks before this one are folded
 * @chunk:	a chunk that has ended
 *
 * Only bytes that follow each other without a gap count: behind the first
 * failure nothing does.
 */
void blk_copy_fold_chunk(struct blk_copy *copy, struct blk_copy_chunk *chunk)
{
	u64 good = chunk->cur, offloaded = chunk->offloaded;
	u64 total_off = offloaded, total_emu = chunk->emulated;

	if (chunk->step) {
		const struct blk_copy_map *by_device = &chunk->token.done;
		u32 prefix = blk_copy_maps_prefix(by_device, &chunk->done);

		/* Slices may end inside a block of a stack above the leaf. */
		prefix -= prefix % max(copy->granule, 1U);
		good += prefix;
		offloaded += blk_copy_map_below(by_device, prefix);
		total_off += blk_copy_map_below(by_device, U32_MAX);
		total_emu += blk_copy_map_below(&chunk->done, U32_MAX);
	}
	copy->stat_offloaded += total_off;
	copy->stat_emulated += total_emu;
	if (copy->error)
		return;
	copy->bytes_offloaded += offloaded;
	copy->error = chunk->error;
	if (copy->flags & BLK_COPY_DRY_RUN)
		return;
	copy->bytes_done += good;
	copy->bytes_emulated += good - offloaded;
}

/* End the segments that lie before @done, and with @all the others, too. */
static void blk_copy_end_segs(struct blk_copy *copy, u64 done, bool all)
{
	while (copy->seg_end_io && copy->segs_ended < copy->nr_segs) {
		unsigned int i = copy->segs_ended;
		u64 end = copy->segs_bytes +
			((u64)copy->segs[i].nr_sects << SECTOR_SHIFT);
		/* An empty segment is refused with all the others. */
		bool good = end <= done && end > copy->segs_bytes;

		if (!good && !all)
			break;
		copy->segs_bytes = end;
		copy->segs_ended++;
		copy->seg_end_io(copy, i, good ? 0 : copy->error);
	}
}

/*
 * How far does the first chunk, still at work, extend what is proven?  While its
 * COPY_OUT is in flight the map of the leaves is only half of the proof.
 */
static u64 blk_copy_proven_so_far(const struct blk_copy *copy)
{
	const struct blk_copy_chunk *chunk =
		list_first_entry(&copy->chunks, struct blk_copy_chunk, entry);
	u32 prefix = 0;

	if (chunk->state == BLK_COPY_CHUNK_EMULATE)
		prefix = blk_copy_maps_prefix(&chunk->token.done, &chunk->done);
	return copy->bytes_done + chunk->cur +
		round_down(prefix, copy->granule);
}

static bool blk_copy_fold(struct blk_copy *copy)
{
	bool progress = false;

	while (!list_empty(&copy->chunks)) {
		struct blk_copy_chunk *chunk = list_first_entry(&copy->chunks,
				struct blk_copy_chunk, entry);

		if (chunk->state != BLK_COPY_CHUNK_ENDED)
			break;
		blk_copy_fold_chunk(copy, chunk);
		copy->nr_chunks--;
		blk_copy_put_chunk(chunk);
		progress = true;
	}
	if (copy->seg_end_io && !copy->error && !list_empty(&copy->chunks) &&
	    !(copy->flags & BLK_COPY_DRY_RUN))
		blk_copy_end_segs(copy, blk_copy_proven_so_far(copy), false);
	return progress;
}

static void blk_copy_count(const struct blk_copy *copy)
{
	struct gendisk *disk = copy->dst->bd_disk;

	blk_copy_stat_add(disk, BLK_COPY_STAT_COPIES, 1);
	blk_copy_stat_add(disk, BLK_COPY_STAT_OFFLOADED_BYTES,
			  copy->stat_offloaded);
	blk_copy_stat_add(disk, BLK_COPY_STAT_EMULATED_BYTES,
			  copy->stat_emulated);
	blk_copy_stat_add(disk, BLK_COPY_STAT_FAILED, !!copy->error);
	trace_blk_copy_done(copy);
}

/**
 * blk_copy_count_cached - count a copy that went through the page cache
 * @copy:	the copy, its results filled in
 */
void blk_copy_count_cached(struct blk_copy *copy)
{
	copy->stat_emulated = copy->bytes_emulated;
	blk_copy_count(copy);
}

static void blk_copy_finish(struct blk_copy *copy)
{
	blk_copy_pool_leave_any(copy);
	if (copy->killed && copy->next < copy->len && !copy->error)
		copy->error = -EINTR;
	/* Whatever else went wrong, what may yet be written is worse to not know. */
	if (copy->error && copy->lost)
		copy->error = -ENOLINK;
	blk_copy_end_segs(copy, copy->bytes_done, true);
	if (copy->flags & BLK_COPY_DRY_RUN)
		trace_blk_copy_done(copy);
	else
		blk_copy_count(copy);
	if (copy->css)
		css_put(copy->css);
}

/* Returns true when the copy is over; it may be gone if that was said before. */
static bool blk_copy_run(struct blk_copy *copy)
{
	int events;

	do {
		bool progress;

		events = atomic_read_acquire(&copy->events);
		do {
			/* Where all ends at once the issuer never sleeps. */
			blk_copy_check_killed(copy);
			cond_resched();
			progress = blk_copy_harvest(copy);
			progress |= blk_copy_start_chunks(copy);
			progress |= blk_copy_emulate(copy);
			progress |= blk_copy_end_emulation(copy);
			progress |= blk_copy_fold(copy);
		} while (progress);
		blk_copy_pool_give_up_turn(copy);

		if (!copy->nr_chunks && !blk_copy_wants_chunk(copy)) {
			blk_copy_finish(copy);
			return true;
		}
	} while (atomic_sub_return(events, &copy->events));
	return false;
}

static void blk_copy_work(struct work_struct *work)
{
	struct blk_copy *copy = container_of(work, struct blk_copy, work);

	if (blk_copy_run(copy))
		copy->end_io(copy);
}

/* ------------------------------------------------------------ front side */

/**
 * blk_copy_overlaps - do a source and a destination share sectors of a disk?
 * @src:	device that holds the source
 * @src_sector:	its first sector there
 * @src_nr_sects: its sectors
 * @dst:	device that holds the destination
 * @dst_sector:	its first sector there
 * @dst_nr_sects: its sectors
 *
 * Both have passed blk_copy_check_range().  Sees through partitions, and through
 * nothing else: what stacked devices share is not known before they map it.
 *
 * Return: true if so.
 */
bool blk_copy_overlaps(struct block_device *src, sector_t src_sector,
		       u64 src_nr_sects, struct block_device *dst,
		       sector_t dst_sector, u64 dst_nr_sects)
{
	src_sector += src->bd_start_sect;
	dst_sector += dst->bd_start_sect;
	return src->bd_disk == dst->bd_disk &&
		src_sector < dst_sector + dst_nr_sects &&
		dst_sector < src_sector + src_nr_sects;
}

/**
 * blk_copy_check_range - is this a place to copy from or to?
 * @bdev:	device
 * @sector:	first sector, relative to @bdev
 * @nr_sects:	sectors
 *
 * Return: 0, or -EINVAL if it is empty, misaligned or not inside @bdev.
 */
int blk_copy_check_range(struct block_device *bdev, sector_t sector,
			 u64 nr_sects)
{
	unsigned int lbs = bdev_logical_block_size(bdev) >> SECTOR_SHIFT;
	u64 end;

	if (!nr_sects || ((sector | nr_sects) & (lbs - 1)))
		return -EINVAL;
	if (check_add_overflow((u64)sector, nr_sects, &end) ||
	    end > bdev_nr_sectors(bdev))
		return -EINVAL;
	return 0;
}

static void blk_copy_init_lists(struct blk_copy *copy)
	__context_unsafe(/* nobody else knows this copy yet */)
{
	INIT_LIST_HEAD(&copy->chunks);
	INIT_LIST_HEAD(&copy->wait_entry);
	INIT_LIST_HEAD(&copy->done_chunks);
	INIT_LIST_HEAD(&copy->done_units);
	spin_lock_init(&copy->done_lock);
}

/* Everything that can be refused before anything is sent */
static int blk_copy_validate(struct blk_copy *copy)
{
	u64 nr_sects = 0;
	unsigned int i;
	int err;

	if (copy->flags & ~(BLK_COPY_NO_EMULATION | BLK_COPY_KILLABLE |
			    BLK_COPY_DRY_RUN | BLK_COPY_NO_OFFLOAD) ||
	    !copy->nr_segs)
		return -EINVAL;
	if (bdev_read_only(copy->dst))
		return -EPERM;
	for (i = 0; i < copy->nr_segs; i++) {
		const struct blk_copy_segment *seg = &copy->segs[i];

		err = blk_copy_check_range(copy->src, seg->sector,
					   seg->nr_sects);
		if (err)
			return err;
		if (check_add_overflow(nr_sects, (u64)seg->nr_sects, &nr_sects))
			return -EINVAL;
	}
	err = blk_copy_check_range(copy->dst, copy->dst_sector, nr_sects);
	if (err)
		return err;
	copy->len = nr_sects << SECTOR_SHIFT;
	for (i = 0; i < copy->nr_segs; i++)
		if (blk_copy_overlaps(copy->src, copy->segs[i].sector,
				      copy->segs[i].nr_sects, copy->dst,
				      copy->dst_sector, nr_sects))
			return -EINVAL;
	return 0;
}

static void blk_copy_refuse(struct blk_copy *copy, int error)
{
	copy->error = error;
	copy->segs_ended = 0;
	blk_copy_end_segs(copy, 0, true);
}

#ifdef CONFIG_BLK_DEV_THROTTLING
static bool blk_copy_throttled(struct block_device *bdev)
{
	return blk_throtl_activated(bdev_get_queue(bdev));
}
#else
static bool blk_copy_throttled(struct block_device *bdev)
{
	return false;
}
#endif

static u32 blk_copy_chunk_size(const struct blk_copy *copy)
{
	struct request_queue *q = bdev_get_queue(copy->dst);
	u64 opt = (u64)q->limits.copy.opt_sectors << SECTOR_SHIFT;
	u64 bytes;

	if (blk_copy_throttled(copy->src) || blk_copy_throttled(copy->dst))
		return BLK_COPY_CHUNK_BYTES_THROTTLED;
	bytes = clamp_t(u64, (u64)bdev_max_copy_sectors(copy->dst) << SECTOR_SHIFT,
			BLK_COPY_CHUNK_BYTES, BLK_COPY_CHUNK_BYTES_MAX);
	if (opt && opt <= bytes)
		bytes -= (u32)bytes % (u32)opt;
	return round_down(bytes, copy->granule);
}

static int blk_copy_start(struct blk_copy *copy, struct task_struct *task,
			  const struct blk_copy_owner *owner)
{
	u32 step;
	int err;

	if (!copy->set)
		copy->set = &blk_copy_front_set;
	if (!copy->set->wq)
		return -ENOMEM;
	err = blk_copy_validate(copy);
	if (err)
		return err;

	copy->granule = max(bdev_logical_block_size(copy->src),
			    bdev_logical_block_size(copy->dst));
	copy->chunk_bytes = blk_copy_chunk_size(copy);
	/* What the call has learnt may be of a device with smaller blocks. */
	step = min_not_zero(copy->hint.step_bytes, copy->chunk_bytes);
	copy->hint.step_bytes = max(round_down(step, copy->granule),
				    copy->granule);
	copy->hint.no_offload |= copy->flags & BLK_COPY_NO_OFFLOAD;
	copy->fail_at = U64_MAX;
	copy->task = task;
	copy->ioprio = owner->ioprio;
	copy->css = owner->css;
	if (copy->css)
		css_get(copy->css);
	blk_copy_init_lists(copy);
	if (!task)
		INIT_WORK(&copy->work, blk_copy_work);
	/* The first run comes without an event. */
	atomic_set(&copy->events, 1);
	trace_blk_copy_start(copy);
	return 0;
}

/**
 * blk_copy_get_owner - on whose behalf a copy is made
 * @owner:	filled in with who asks for it now; blk_copy_put_owner() follows
 */
void blk_copy_get_owner(struct blk_copy_owner *owner)
{
	owner->ioprio = get_current_ioprio();
	owner->css = blk_copy_get_css();
}

/**
 * blk_copy_put_owner - the owner is not needed any more
 * @owner:	the owner
 */
void blk_copy_put_owner(struct blk_copy_owner *owner)
{
	if (owner->css)
		css_put(owner->css);
}

/**
 * blk_copy_prepare - make a copy ready that blk_copy_go() is going to begin
 * @copy:	as for blkdev_issue_copy_async()
 * @owner:	who pays for it
 *
 * Return: 0, or an error of the arguments; then @copy->end_io is not called.
 */
int blk_copy_prepare(struct blk_copy *copy, const struct blk_copy_owner *owner)
{
	return blk_copy_start(copy, NULL, owner);
}

/**
 * blk_copy_go - begin a copy that was made ready
 * @copy:	the copy
 *
 * Context: any.
 */
void blk_copy_go(struct blk_copy *copy)
{
	queue_work(copy->set->wq, &copy->work);
}

/**
 * blk_copy_cancel - send nothing new
 * @copy:	a copy that blk_copy_go() has begun
 *
 * What is in flight is waited for.  The copy ends with -EINTR if something was
 * left out.
 *
 * Context: under a lock that @copy->end_io takes.
 */
void blk_copy_cancel(struct blk_copy *copy)
{
	WRITE_ONCE(copy->killed, true);
	blk_copy_kick(copy);
}

/**
 * blkdev_issue_copy_async - copy, and say later how it went
 * @copy:	what to copy; zeroed, then filled in by the caller
 *
 * Leaves everything to the worker of @copy->set: it may be called where bios are
 * being submitted, and a copy may be issued by the end of another.  Never fails
 * by itself: bad arguments come back through @copy->end_io like any error, in
 * that case before this returns.
 *
 * Context: process context; does not sleep.  A copy progresses with what its set
 * holds when there is no memory, so it is safe in the path of memory reclaim.
 */
void blkdev_issue_copy_async(struct blk_copy *copy)
{
	struct blk_copy_owner owner;
	int err;

	blk_copy_get_owner(&owner);
	err = blk_copy_prepare(copy, &owner);
	blk_copy_put_owner(&owner);
	if (!err) {
		blk_copy_go(copy);
		return;
	}
	blk_copy_refuse(copy, err);
	copy->end_io(copy);
}
EXPORT_SYMBOL_GPL(blkdev_issue_copy_async);

static void blk_copy_wait(struct blk_copy *copy)
{
	unsigned int state = TASK_UNINTERRUPTIBLE;

	if ((copy->flags & BLK_COPY_KILLABLE) && !copy->killed)
		state = TASK_KILLABLE;
	for (;;) {
		set_current_state(state);
		if (atomic_read(&copy->events))
			break;
		if (signal_pending_state(state, current)) {
			copy->killed = true;
			atomic_inc(&copy->events);
			break;
		}
		blk_io_schedule();
	}
	__set_current_state(TASK_RUNNING);
}

/**
 * blkdev_issue_copy - copy and wait for the end
 * @copy:	what to copy; zeroed, then filled in by the caller
 *
 * After a fatal signal (with BLK_COPY_KILLABLE) nothing new is sent, but what
 * is in flight is waited for: the pages of the caller's caches may be stale
 * until then.
 *
 * Context: process context, may sleep; no lock or tag that I/O needs is held.
 * Return: 0 if all bytes are copied, or on a dry run could be asked about, else
 * @copy->bytes_done are copied and
 * -EINVAL for a misaligned, empty, overlapping or too long range or an unknown
 * flag, -EPERM for a read-only destination, -EOPNOTSUPP if the devices cannot
 * and emulation is forbidden, -EAGAIN if the mapping below kept changing and
 * emulation is forbidden, -EINTR after a fatal signal, -ENOMEM if the set of the
 * front doors could not be made, or the error of the device.
 */
int blkdev_issue_copy(struct blk_copy *copy)
{
	struct blk_copy_owner owner;
	int err;

	blk_copy_get_owner(&owner);
	err = blk_copy_start(copy, current, &owner);
	blk_copy_put_owner(&owner);
	if (err) {
		blk_copy_refuse(copy, err);
		return err;
	}
	while (!blk_copy_run(copy))
		blk_copy_wait(copy);
	return copy->error;
}
EXPORT_SYMBOL_GPL(blkdev_issue_copy);

/* ------------------------------------------------------------- copy sets */

/* @bytes: of memory that one of them takes */
static void blk_copy_pool_init(struct blk_copy_pool *pool, size_t bytes)
{
	u64 max = ((u64)totalram_pages() << PAGE_SHIFT) / 16;

	INIT_LIST_HEAD(&pool->free);
	INIT_LIST_HEAD(&pool->waiters);
	pool->nr_woken = 0;
	atomic_set(&pool->nr_extra, 0);
	pool->max_extra = min_t(u64, div_u64(max, bytes), INT_MAX / 2);
}

static void blk_copy_set_fill(struct blk_copy_set *set, unsigned int nr_chunks,
			      unsigned int nr_units)
{
	struct blk_copy_chunk *chunks = set->chunks;
	struct blk_copy_unit *units = set->units;
	unsigned int i;

	for (i = 0; i < nr_chunks; i++)
		list_add_tail(&chunks[i].entry, &set->chunk_pool.free);
	for (i = 0; i < nr_units; i++)
		list_add_tail(&units[i].entry, &set->unit_pool.free);
}

/* Compound: whoever gets them in a bio may take a reference to any page of them. */
static void *blk_copy_alloc_reserve(gfp_t gfp, void *order)
{
	return alloc_pages(gfp | __GFP_COMP, (unsigned long)order);
}

/**
 * blk_copy_set_init - make what the copies of one user run on
 * @set:	the set, zeroed
 * @name:	for its worker
 * @nr_chunks:	tokens, at least 1; 4 keep one copy at full speed
 * @nr_units:	buffers in use at most, 512 KiB each, at least 1; 14 keep one
 *		emulated copy at full speed
 * @bufs:	pool of compound pages of order get_order(64 KiB) for when memory
 *		is short, of which nobody else takes any; NULL = the set makes one
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int blk_copy_set_init(struct blk_copy_set *set, const char *name,
		      unsigned int nr_chunks, unsigned int nr_units,
		      mempool_t *bufs)
{
	spin_lock_init(&set->lock);
	blk_copy_pool_init(&set->chunk_pool, sizeof(struct blk_copy_chunk));
	blk_copy_pool_init(&set->unit_pool, BLK_COPY_UNIT_BYTES);
	set->chunks = kvcalloc(nr_chunks, sizeof(struct blk_copy_chunk),
			       GFP_KERNEL);
	set->units = kvcalloc(nr_units, sizeof(struct blk_copy_unit),
			      GFP_KERNEL);
	if (!set->chunks || !set->units)
		goto out_exit;
	if (bioset_init(&set->bios, BIO_POOL_SIZE, 0, 0))
		goto out_exit;
	if (!bufs && mempool_init(&set->own_bufs, BLK_COPY_RESERVE_BUFS,
				  blk_copy_alloc_reserve, mempool_free_pages,
				  (void *)(long)BLK_COPY_RESERVE_ORDER))
		goto out_exit;
	set->bufs = bufs ? bufs : &set->own_bufs;
	if (blk_copy_init_shrinker(set, name))
		goto out_exit;
	set->wq = alloc_workqueue("blk_copy_%s", WQ_MEM_RECLAIM | WQ_UNBOUND,
				  0, name);
	if (!set->wq)
		goto out_exit;
	blk_copy_set_fill(set, nr_chunks, nr_units);
	return 0;

out_exit:
	blk_copy_set_exit(set);
	return -ENOMEM;
}
EXPORT_SYMBOL_GPL(blk_copy_set_init);

/**
 * blk_copy_set_exit - free a set
 * @set:	the set, with no copy running; or one that init failed for
 *
 * Context: may sleep.
 */
void blk_copy_set_exit(struct blk_copy_set *set)
{
	struct blk_copy_unit *unit;

	shrinker_free(set->shrinker);
	set->shrinker = NULL;
	if (set->wq)
		destroy_workqueue(set->wq);
	set->wq = NULL;
	list_for_each_entry(unit, &set->unit_pool.free, entry)
		blk_copy_unit_free_pages(unit);
	INIT_LIST_HEAD(&set->unit_pool.free);
	mempool_exit(&set->own_bufs);
	bioset_exit(&set->bios);
	kvfree(set->units);
	kvfree(set->chunks);
}
EXPORT_SYMBOL_GPL(blk_copy_set_exit);

static int __init blk_copy_init(void)
{
	/* The series may not make every bio of the system larger. */
	BUILD_BUG_ON(sizeof(struct bio) > BLK_COPY_BIO_BYTES);

	return blk_copy_set_init(&blk_copy_front_set, "front",
				 BLK_COPY_FRONT_CHUNKS, BLK_COPY_FRONT_UNITS,
				 NULL);
}
subsys_initcall(blk_copy_init);
