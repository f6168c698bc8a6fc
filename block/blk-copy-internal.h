/* SPDX-License-Identifier: GPL-2.0 */
#ifndef BLK_COPY_INTERNAL_H
#define BLK_COPY_INTERNAL_H

#include <linux/blk-copy.h>
#include <linux/blk-mq.h>
#include <linux/cgroup.h>
#include <linux/kthread.h>

struct io_uring_cmd;

/*
 * Length of the bio_vec that copy bios point at.  Larger than any offset, so
 * that an iterator never steps to a second bio_vec, which does not exist.
 */
#define BLK_COPY_BV_LEN		(UINT_MAX & ~(u32)(SECTOR_SIZE - 1))

#ifdef CONFIG_BLK_COPY

/* One buffer of the emulation at most; and how many of them per copy */
#define BLK_COPY_UNIT_BYTES	(512U << 10)
#define BLK_COPY_UNIT_VECS	(BLK_COPY_UNIT_BYTES >> PAGE_SHIFT)
#define BLK_COPY_UNITS_PER_COPY	14
/* For what a set has no more of: there is somebody to wait for */
#define BLK_COPY_GFP_EXTRA	(GFP_NOIO | __GFP_NORETRY | __GFP_NOWARN | \
				 __GFP_NOMEMALLOC)
/* Buffers of a set that exist before memory gets short, order of pages */
#define BLK_COPY_RESERVE_ORDER	get_order(64U << 10)
#define BLK_COPY_RESERVE_BUFS	2

enum blk_copy_chunk_state {
	BLK_COPY_CHUNK_STEP,	/* ready to start its next step */
	BLK_COPY_CHUNK_IN,	/* COPY_INs in flight */
	BLK_COPY_CHUNK_OUT,	/* COPY_OUT in flight */
	BLK_COPY_CHUNK_EMULATE,	/* reads and writes are wanted or in flight */
	BLK_COPY_CHUNK_ENDED,	/* waits for the chunks before it */
};

/* Why a piece was not offloaded; also the argument of the trace event */
enum blk_copy_reason {
	BLK_COPY_REASON_LIMIT,		/* a limit is 0, or the caller said so */
	BLK_COPY_REASON_IN,		/* the source stack refused */
	BLK_COPY_REASON_OUT,		/* the destination stack refused */
	BLK_COPY_REASON_OVERFLOW,	/* too fragmented for a token */
	BLK_COPY_REASON_STALE,		/* the mapping kept changing */
	BLK_COPY_REASON_ERROR,		/* a device failed the command */
};

/**
 * struct blk_copy_chunk - a piece of a copy that is in flight
 * @copy:	whose piece
 * @entry:	in blk_copy.chunks, or in the set's pool of them
 * @done_entry:	in blk_copy.done_chunks
 * @start:	first byte, counted from the start of the copy
 * @len:	bytes
 * @cur:	bytes that are settled
 * @step:	bytes that the token covers, from @cur on
 * @state:	where it stands
 * @reason:	why it is emulated
 * @retries:	times that a stale token was filled again
 * @pending:	bios of this step that have not ended
 * @units:	units of the emulation that work for it
 * @emu_next:	first byte of the step that no unit has taken
 * @status:	first error of the copy bios of this step
 * @emu_status:	error of its emulation at the lowest offset
 * @emu_fail:	that offset
 * @emu_stopped: something that was read is not written any more
 * @error:	errno that ended the chunk
 * @seg_idx:	segment in which @start lies
 * @seg_start:	first byte of that segment, counted from the start of the copy
 * @offloaded:	bytes of settled steps that devices moved
 * @emulated:	bytes of settled steps that were read and written
 * @extra:	allocated, because the set had none left
 * @in:		the first COPY_IN
 * @out:	the COPY_OUT
 * @done:	bytes of the step that were read and written
 * @token:	the token of the step
 */
struct blk_copy_chunk {
	struct blk_copy		*copy;
	struct list_head	entry;
	struct list_head	done_entry;
	u64			start;
	u32			len;
	u32			cur;
	u32			step;
	enum blk_copy_chunk_state state;
	enum blk_copy_reason	reason;
	unsigned int		retries;
	atomic_t		pending;
	unsigned int		units;
	u32			emu_next;
	u32			emu_fail;
	blk_status_t		status;
	blk_status_t		emu_status;
	bool			emu_stopped;
	int			error;
	unsigned int		seg_idx;
	u64			seg_start;
	u64			offloaded;
	u64			emulated;
	bool			extra;
	struct bio		in;
	struct bio		out;
	struct blk_copy_map	done;
	struct blk_copy_token	token;
};

/**
 * struct blk_copy_unit - one buffer of the emulation and its I/O
 * @chunk:	who it works for
 * @entry:	in the set's pool of units, or blk_copy.done_units
 * @off:	first byte, counted from the start of the chunk's step
 * @len:	bytes of this round
 * @capacity:	bytes of the buffer that are used, whole blocks
 * @bytes:	bytes of the buffer
 * @nr_vecs:	elements of @vecs that hold the buffer
 * @pending:	bios that have not ended
 * @status:	first error of these
 * @writing:	the read is over
 * @extra:	allocated, because the set had none left
 * @reserve:	buffer taken from the set's pool, NULL = own pages
 * @bio:	the write, and the template of the reads
 * @in:		the first read
 * @vecs:	the buffer
 */
struct blk_copy_unit {
	struct blk_copy_chunk	*chunk;
	struct list_head	entry;
	u32			off;
	u32			len;
	u32			capacity;
	u32			bytes;
	unsigned int		nr_vecs;
	atomic_t		pending;
	blk_status_t		status;
	bool			writing;
	bool			extra;
	struct page		*reserve;
	struct bio		bio;
	struct bio		in;
	struct bio_vec		vecs[BLK_COPY_UNIT_VECS];
};

/**
 * struct blk_copy_owner - on whose behalf a copy is made
 * @css:	group that is charged for it, with a reference; or NULL
 * @ioprio:	its priority
 */
struct blk_copy_owner {
	struct cgroup_subsys_state *css;
	unsigned short		ioprio;
};

/* blk-copy-token.c */
void blk_copy_map_init(struct blk_copy_map *map);
void blk_copy_map_add(struct blk_copy_map *map, u32 off, u32 len);
u32 blk_copy_map_prefix(const struct blk_copy_map *map);
u32 blk_copy_maps_prefix(const struct blk_copy_map *a,
			 const struct blk_copy_map *b);
u32 blk_copy_map_below(const struct blk_copy_map *map, u32 end);
bool blk_copy_map_next_hole(const struct blk_copy_map *map, u32 from, u32 end,
			    u32 *off, u32 *len);
void blk_copy_token_init(struct blk_copy_token *token, u32 len);
void blk_copy_token_release(struct blk_copy_token *token);
struct bio_vec *blk_copy_token_new_layer(struct blk_copy_token *token);
blk_status_t blk_copy_token_fill(struct blk_copy_token *token,
				 const struct blk_copy_entry *new);
blk_status_t blk_copy_token_prepare(struct blk_copy_token *token);
const struct blk_copy_entry *
blk_copy_token_find(const struct blk_copy_token *token, u8 layer, u32 off);
void blk_copy_range_start(struct blk_copy_range_iter *iter,
			  const struct blk_copy_token *token, u8 layer,
			  u32 off, u32 len, u32 max_bytes);

/* blk-copy-split.c */
u32 blk_copy_split_bytes(const struct blk_copy_token *token, u32 off, u32 len,
			 const struct queue_limits *lim);
int bio_copy_split_sectors(struct bio *bio, const struct queue_limits *lim);

/* blk-copy-limits.c */
void blk_copy_validate_limits(struct queue_limits *lim);
void blk_copy_stack_limits(struct queue_limits *t, const struct queue_limits *b);

/* blk-copy.c */
void blk_copy_kick(struct blk_copy *copy);
void blk_copy_src_seek(const struct blk_copy *copy, u64 pos,
		       unsigned int *idx, u64 *start);
blk_status_t __blk_copy_check_bio(struct bio *bio);
void __blk_copy_in(struct bio *bio);
struct list_head *blk_copy_pool_take(struct blk_copy *copy,
				     struct blk_copy_pool *pool);
void blk_copy_pool_wait(struct blk_copy *copy, struct blk_copy_pool *pool);
void blk_copy_pool_wake(struct blk_copy_set *set, struct blk_copy_pool *pool)
	__must_hold(&set->lock);
bool blk_copy_pool_take_extra(struct blk_copy_pool *pool);
void blk_copy_pool_put_extra(struct blk_copy_pool *pool);
void blk_copy_pool_leave(struct blk_copy *copy, struct blk_copy_pool *pool);
void blk_copy_bio_target(struct blk_copy *copy, struct bio *bio,
			 struct block_device *bdev);
bool blk_copy_chunk_stopped(const struct blk_copy_chunk *chunk);
bool blk_copy_chunk_proven(const struct blk_copy_chunk *chunk);
void blk_copy_count_cached(struct blk_copy *copy);
void blk_copy_get_owner(struct blk_copy_owner *owner);
void blk_copy_put_owner(struct blk_copy_owner *owner);
int blk_copy_prepare(struct blk_copy *copy, const struct blk_copy_owner *owner);
void blk_copy_go(struct blk_copy *copy);
void blk_copy_cancel(struct blk_copy *copy);
void blk_copy_fold_chunk(struct blk_copy *copy, struct blk_copy_chunk *chunk);

/* blk-copy-emulate.c */
bool blk_copy_emulated(const struct blk_copy_chunk *chunk);
bool blk_copy_emulate(struct blk_copy *copy);
void blk_copy_unit_free_pages(struct blk_copy_unit *unit);
int blk_copy_init_shrinker(struct blk_copy_set *set, const char *name);
void blk_copy_unit_ended(struct blk_copy_unit *unit);

/* blk-copy-ioctl.c */
int blk_ioctl_copy(struct file *file, void __user *argp);

/* blk-copy-uring.c */
int blk_uring_copy(struct io_uring_cmd *cmd, unsigned int issue_flags);

/* blk-copy-sysfs.c */
extern const struct attribute_group blk_copy_disk_attr_group;
#define BLK_COPY_DISK_ATTR_GROUP	(&blk_copy_disk_attr_group)

static inline void blk_copy_stat_add(struct gendisk *disk,
				     enum blk_copy_stat_item item, u64 n)
{
	if (n)
		atomic64_add(n, &disk->copy_stats.item[item]);
}

/**
 * blk_copy_check_bio - the gate: may this copy bio enter the queue?
 * @q:		queue that it is submitted to
 * @bio:	a COPY_IN or COPY_OUT bio
 *
 * Fails closed: queues say 0 until a driver or a stacking target opts in.  Not
 * a proof, since some bios wait behind the gate: mapping points check again.
 *
 * Return: BLK_STS_OK, BLK_STS_NOTSUPP where the queue takes no copies,
 * BLK_STS_INVAL for a bio that is built wrongly.
 */
static inline blk_status_t blk_copy_check_bio(struct request_queue *q,
					      struct bio *bio)
{
	const struct blk_copy_limits *c = &q->limits.copy;

	if (bio_op(bio) == REQ_OP_COPY_IN ? !blk_copy_is_source(c) :
					    !c->max_sectors)
		return BLK_STS_NOTSUPP;
	return __blk_copy_check_bio(bio);
}

/* The first error of several bios; which of two at once does not matter. */
static inline void blk_copy_note_status(blk_status_t *first, blk_status_t status)
{
	if (status != BLK_STS_OK && READ_ONCE(*first) == BLK_STS_OK)
		WRITE_ONCE(*first, status);
}

/* Does this copy bio only ask, and move nothing? */
static inline bool bio_copy_dry_run(const struct bio *bio)
{
	return test_bit(BLK_COPY_TOKEN_DRY_RUN, &bio_copy_token(bio)->flags);
}

/*
 * A dry run sends no command, so it is in no disk statistics either.  Schedulers
 * may ask when any request began.
 */
static inline bool blk_copy_unaccounted(struct request *rq)
{
	if (likely(req_op(rq) != REQ_OP_COPY_OUT) ||
	    !bio_copy_dry_run(rq->bio))
		return false;
	rq->rq_flags &= ~RQF_IO_STAT;
	rq->start_time_ns = ktime_get_ns();
	return true;
}

/* Ends a COPY_IN at a leaf; such a bio never becomes a request. */
static inline bool blk_copy_in(struct bio *bio)
{
	if (likely(bio_op(bio) != REQ_OP_COPY_IN))
		return false;
	__blk_copy_in(bio);
	return true;
}

static inline unsigned int
blk_copy_max_sectors(const struct queue_limits *lim)
{
	return lim->copy.max_sectors;
}

static inline void blk_copy_default_limits(struct queue_limits *lim)
{
	lim->copy.max_user_sectors = BLK_COPY_DEF_MAX_SECTORS;
}

#else /* CONFIG_BLK_COPY */

#define BLK_COPY_DISK_ATTR_GROUP	NULL

static inline blk_status_t blk_copy_check_bio(struct request_queue *q,
					      struct bio *bio)
{
	return BLK_STS_NOTSUPP;
}

static inline bool blk_copy_in(struct bio *bio)
{
	return false;
}

static inline unsigned int
blk_copy_max_sectors(const struct queue_limits *lim)
{
	return 0;
}

static inline bool bio_copy_dry_run(const struct bio *bio)
{
	return false;
}

static inline bool blk_copy_unaccounted(struct request *rq)
{
	return false;
}

static inline int bio_copy_split_sectors(struct bio *bio,
					 const struct queue_limits *lim)
{
	return 0;
}

static inline void blk_copy_default_limits(struct queue_limits *lim)
{
}

static inline void blk_copy_validate_limits(struct queue_limits *lim)
{
}

static inline void blk_copy_stack_limits(struct queue_limits *t,
					 const struct queue_limits *b)
{
}

static inline int blk_ioctl_copy(struct file *file, void __user *argp)
{
	return -ENOTTY;
}

static inline int blk_uring_copy(struct io_uring_cmd *cmd,
				 unsigned int issue_flags)
{
	return -EINVAL;
}

#endif /* CONFIG_BLK_COPY */

#ifdef CONFIG_BLK_CGROUP
/* A kernel thread may work for another group than its own. */
static inline struct cgroup_subsys_state *blk_copy_get_css(void)
{
	struct cgroup_subsys_state *css = kthread_blkcg();

	if (!css)
		return task_get_css(current, io_cgrp_id);
	css_get(css);
	return css;
}
#else
static inline struct cgroup_subsys_state *blk_copy_get_css(void)
{
	return NULL;
}
#endif

int blk_copy_check_range(struct block_device *bdev, sector_t sector,
			 u64 nr_sects);
bool blk_copy_overlaps(struct block_device *src, sector_t src_sector,
		       u64 src_nr_sects, struct block_device *dst,
		       sector_t dst_sector, u64 dst_nr_sects);

#ifdef CONFIG_BLK_COPY_DEBUG
/*
 * Rare events and high-water marks that tests need to see; and a pause between
 * the halves of a copy, in which a test can change what lies below.
 */
enum blk_copy_debug_item {
	BLK_COPY_DBG_RESERVE_USED,	/* buffers taken from a set's reserve */
	BLK_COPY_DBG_STARVED,		/* copies that had to wait for a set */
	BLK_COPY_DBG_RECLAIMED,		/* pages of idle buffers given back */
	BLK_COPY_DBG_PAUSES,		/* times that the pause was made */
	BLK_COPY_DBG_STALE,		/* tokens found stale */
	BLK_COPY_DBG_OUTS,		/* COPY_OUTs in flight: now */
	BLK_COPY_DBG_OUTS_MAX,		/* ... and at most */
	BLK_COPY_DBG_EMU_BIOS,		/* bios of the emulation: now */
	BLK_COPY_DBG_EMU_BIOS_MAX,	/* ... and at most */
	BLK_COPY_DBG_EMU_BYTES,		/* bytes of buffers: now */
	BLK_COPY_DBG_EMU_BYTES_MAX,	/* ... and at most */
	BLK_COPY_DBG_NR,
};

void blk_copy_debug_pause(void);
void blk_copy_debug_add(enum blk_copy_debug_item item, long n);
#else
enum blk_copy_debug_item {
	BLK_COPY_DBG_RESERVE_USED, BLK_COPY_DBG_STARVED,
	BLK_COPY_DBG_RECLAIMED, BLK_COPY_DBG_STALE,
	BLK_COPY_DBG_OUTS, BLK_COPY_DBG_EMU_BIOS, BLK_COPY_DBG_EMU_BYTES,
};

static inline void blk_copy_debug_pause(void)
{
}

static inline void blk_copy_debug_add(enum blk_copy_debug_item item, long n)
{
}
#endif

#endif /* BLK_COPY_INTERNAL_H */
