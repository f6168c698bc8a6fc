/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Copy offload for the block layer.
 *
 * Documentation/block/copy-offload.rst explains the model.  In short: a copy
 * travels as two kinds of bio that are never in flight at the same time for the
 * same bytes.  REQ_OP_COPY_IN goes down the source stack and leaves references
 * in a token, REQ_OP_COPY_OUT carries the token down the destination stack and
 * becomes one command of the device at the bottom.
 */
#ifndef _LINUX_BLK_COPY_H
#define _LINUX_BLK_COPY_H

#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/blk-copy-compat.h>
#include <linux/completion.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mempool.h>
#include <linux/sizes.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

struct blk_copy_token;

/* ------------------------------------------------------------------------
 * Token: an address space [0, len) that COPY_IN fills and COPY_OUT spends
 */

/* Upper bound of a token: offset + length must fit the 32 bit of bvec_iter */
#define BLK_COPY_TOKEN_MAX_BYTES	SZ_2G
/* References in one token; 64 KiB stripes use 16 per MiB */
#define BLK_COPY_TOKEN_ENTRIES		256
/* Alternative fillings: one per mirror leg */
#define BLK_COPY_TOKEN_LAYERS		8
/* Distinct (pin, generation) pairs; entries name them by a 32 bit mask */
#define BLK_COPY_TOKEN_PINS		32
/* Where which pin was passed on the way down, coalesced */
#define BLK_COPY_TOKEN_SPANS		128
/* Disjoint finished slices that can be remembered */
#define BLK_COPY_MAP_SLICES		128

/**
 * struct blk_copy_map - set of byte ranges inside a token
 * @bytes:	bytes added so far; an addition that found no room counts too
 * @nr:		slices in use
 * @lost:	an addition found no room; the set is smaller than the truth
 * @slice:	disjoint, not adjacent, sorted by offset
 *
 * Holds positive evidence: a slice that gets lost is done again, never skipped.
 */
struct blk_copy_map {
	u64			bytes;
	unsigned short		nr;
	bool			lost;
	struct {
		u32		off;
		u32		len;
	} slice[BLK_COPY_MAP_SLICES];
};

enum blk_copy_entry_state {
	BLK_COPY_REF,		/* names the source; the leaf may need prepare() */
	BLK_COPY_READY,		/* usable by COPY_OUT as it is */
};

/**
 * struct blk_copy_leaf_ops - what a leaf driver brings along, one per driver
 * @name:	for traces
 * @reachable:	whether @dst can execute a copy that reads from @src, both
 *		leaves with these ops, by way of @via of the hold; any context, with
 *		the pins held, so that @src is there; NULL = only from itself
 * @prepare:	make the REF entries of @leaf in @token READY by commands of
 *		the device; called once per leaf from process context after all
 *		COPY_INs have ended, holding no tag, with the pins held;
 *		NULL = entries are born READY
 * @release:	drop @priv of a READY entry; must not sleep or send commands
 */
struct blk_copy_leaf_ops {
	const char	*name;
	bool		(*reachable)(void *dst, void *src, void *via);
	blk_status_t	(*prepare)(struct blk_copy_token *token, void *leaf);
	void		(*release)(u64 priv);
};

/**
 * struct blk_copy_entry - reference to one contiguous piece of a source
 * @off:	byte offset in the token
 * @len:	bytes
 * @sector:	first sector on the leaf's whole disk (512 bytes each)
 * @leaf:	identity of the leaf, only compared and handed to @ops
 * @ops:	the driver of the leaf
 * @priv:	for the driver: nothing for REF, its ROD token when READY
 * @max_bytes:	longest range that this source takes in one command
 * @pins:	bit n: made under pin n of the token
 * @layer:	which filling of the token it belongs to
 * @state:	&enum blk_copy_entry_state
 * @zone_shift:	log2 of the sectors of a zone, which no range reaches beyond; 0 if
 *		there are none
 *
 * The leaf cannot go away under a valid entry: a source named by the caller is
 * held open by it, one below a stacked device is held open by a table or array
 * that cannot change without invalidating a pin of the entry first.
 */
struct blk_copy_entry {
	u32				off;
	u32				len;
	sector_t			sector;
	void				*leaf;
	const struct blk_copy_leaf_ops	*ops;
	u64				priv;
	u32				max_bytes;
	u32				pins;
	u8				layer;
	u8				state;
	u8				zone_shift;
};

/**
 * struct blk_copy_pin - generation of the mapping of one stacked device
 * @ref:	held by the device and by every token that passed it
 * @wait:	woken when no command is busy any more
 *
 * Allocated apart from its device because a token may outlive the device.
 */
struct blk_copy_pin {
	struct kref		ref;
	/* private: */
	spinlock_t		lock;	/* the two below */
	/* changes whenever a mapping made before may no longer be used */
	u64			gen __guarded_by(&lock);
	/* commands running that rely on gen */
	unsigned int		busy __guarded_by(&lock);
	/* public: */
	wait_queue_head_t	wait;
};

struct blk_copy_layer {
	struct bio_vec		bv;
	struct blk_copy_token	*token;
};

struct blk_copy_pin_ref {
	struct blk_copy_pin	*pin;
	u64			gen;
};

struct blk_copy_span {
	u32			off;
	u32			len;
	u8			layer;
	u8			slot;
};

/* bits of blk_copy_token.flags */
enum {
	BLK_COPY_TOKEN_OVERFLOW,	/* no room for an entry, pin or span */
	BLK_COPY_TOKEN_STALE,		/* a pin changed between IN and OUT */
	BLK_COPY_TOKEN_WHOLE_ONLY,	/* COPY_OUT was duplicated: all or nothing */
	BLK_COPY_TOKEN_DRY_RUN,		/* leaves answer, but send no command */
	BLK_COPY_TOKEN_DEV_ERROR,	/* a leaf failed a command it had accepted */
	BLK_COPY_TOKEN_LOST,		/* a leaf may still execute a command */
};

/**
 * struct blk_copy_token - what ties COPY_INs and COPY_OUTs together
 * @lock:	protects everything below while bios of the token are in flight;
 *		taken from any context
 * @flags:	BLK_COPY_TOKEN_* bits; travel here because stacking drivers
 *		rewrite the status of a bio but not the token
 * @len:	bytes, a multiple of the logical block sizes of both ends
 * @nr_entries: entries in use
 * @nr_spans:	spans in use
 * @nr_pins:	pins in use
 * @nr_layers:	layers handed out, at least 1
 * @layer:	what bi_io_vec of the bios points into
 * @pin:	pins with the generation seen, a reference on each
 * @span:	pins by offset, until the leaf turns them into entry masks
 * @entry:	sorted by layer, then offset; disjoint within a layer
 * @done:	slices that a leaf reported as copied
 */
struct blk_copy_token {
	spinlock_t		lock;	/* see above */
	unsigned long		flags;
	u32			len;
	unsigned short		nr_entries;
	unsigned short		nr_spans;
	u8			nr_pins;
	u8			nr_layers;
	struct blk_copy_layer	layer[BLK_COPY_TOKEN_LAYERS];
	struct blk_copy_pin_ref	pin[BLK_COPY_TOKEN_PINS];
	struct blk_copy_span	span[BLK_COPY_TOKEN_SPANS];
	struct blk_copy_entry	entry[BLK_COPY_TOKEN_ENTRIES];
	struct blk_copy_map	done;
};

/**
 * enum blk_copy_outcome - how the command of a COPY_OUT ended
 * @BLK_COPY_DONE:	the device says that all of it is copied
 * @BLK_COPY_REFUSED:	never sent, about to be sent anew, or the device says
 *			that it cannot: nothing is wrong
 * @BLK_COPY_FAILED:	the device tried and failed, or nobody knows
 * @BLK_COPY_LOST:	no answer, and nobody can keep the device from executing it
 *			later: nothing else may write there to make the copy good
 */
enum blk_copy_outcome {
	BLK_COPY_DONE,
	BLK_COPY_REFUSED,
	BLK_COPY_FAILED,
	BLK_COPY_LOST,
};

/**
 * struct blk_copy_hold - what one running COPY_OUT command relies on
 * @token:	the token, NULL = nothing is held
 * @via:	for @reachable; set by the driver, or NULL
 * @node:	multipath node that counts the command in its copy_stat, beside
 *		the path that executes it; set by the driver, or NULL
 * @pins:	pins of @token held busy
 * @nr_ranges:	source ranges of the command
 * @layer:	filling of the token that the command reads
 *
 * Owned by the leaf driver, filled by blk_copy_out_begin() and emptied by
 * blk_copy_out_end(); must be zeroed before the first use.
 */
struct blk_copy_hold {
	struct blk_copy_token	*token;
	void			*via;
	struct gendisk		*node;
	u32			pins;
	unsigned short		nr_ranges;
	u8			layer;
};

/**
 * struct blk_copy_range_iter - walks the source ranges of a COPY_OUT slice
 * @entry:	current reference
 * @sector:	first sector of the current range on the leaf's whole disk
 * @bytes:	length of the current range
 */
struct blk_copy_range_iter {
	const struct blk_copy_entry	*entry;
	sector_t			sector;
	u32				bytes;
	/* private: */
	const struct blk_copy_token	*token;
	unsigned int			idx;
	u32				off;
	u32				end;
	u32				max_bytes;
	u8				layer;
};

/* ------------------------------------------------------------------------
 * Copy: what callers inside the kernel use
 */

/* Fail with -EOPNOTSUPP instead of reading and writing */
#define BLK_COPY_NO_EMULATION	BIT(0)
/* A fatal signal ends the copy early (only blkdev_issue_copy()) */
#define BLK_COPY_KILLABLE	BIT(1)
/* Copy nothing, report in bytes_offloaded what the devices would do */
#define BLK_COPY_DRY_RUN	BIT(2)
/* Read and write even where the device could do it */
#define BLK_COPY_NO_OFFLOAD	BIT(3)

/**
 * struct blk_copy_segment - one contiguous piece of the source of a copy
 * @sector:	first sector, relative to the source block device
 * @nr_sects:	sectors, not 0
 */
struct blk_copy_segment {
	sector_t		sector;
	sector_t		nr_sects;
};

/* Things of one kind that a set holds, and the copies that are short of them */
struct blk_copy_pool {
	/* private: */
	struct list_head	free;
	struct list_head	waiters;
	unsigned int		nr_woken;	/* waiters not served yet */
	atomic_t		nr_extra;	/* made beyond those */
	int			max_extra;
};

/**
 * struct blk_copy_set - what copies of one user run on
 *
 * Tokens, bios, buffers and the worker that one user owns.  They are kept for
 * the next copy, and are what remains when memory is short: while there is
 * some, more are allocated, up to a 16th of all memory for the things of one
 * kind, so that a copy whose device hangs does not stop copies between others.
 * A user below submit_bio() needs a set of its own: with a shared one, a copy
 * whose write causes another copy (snapshot, loopback target) would wait for
 * itself.
 * All members are private to the core; see blk_copy_set_init().
 */
struct blk_copy_set {
	/* private: */
	spinlock_t		lock;		/* the two pools */
	struct blk_copy_pool	chunk_pool;
	struct blk_copy_pool	unit_pool;
	void			*chunks;
	void			*units;
	mempool_t		*bufs;		/* own_bufs or the caller's */
	mempool_t		own_bufs;
	struct bio_set		bios;
	struct workqueue_struct	*wq;
	struct shrinker		*shrinker;
};

/* What one part of a long copy has learned, for the next; zeroed for the first */
struct blk_copy_hint {
	u32			step_bytes;	/* size of tokens */
	unsigned int		nr_refused;	/* chunks refused, or failed */
	bool			no_offload;
};

/**
 * struct blk_copy - one copy, owned by the caller until @end_io
 * @src:	device to read from, held open by the caller
 * @dst:	device to write to, held open by the caller; may be @src
 * @segs:	source segments, laid down one after the other
 * @nr_segs:	elements of @segs, at least 1
 * @dst_sector:	where the first segment goes, relative to @dst
 * @flags:	BLK_COPY_*
 * @set:	what to run on; NULL = the set of the front doors, only allowed
 *		where no bio is being served
 * @end_io:	called once, last, from process context; not used by
 *		blkdev_issue_copy()
 * @seg_end_io:	optional: called from process context once per segment, in
 *		order, as soon as its destination is written, or with the error
 *		that ended the copy
 * @private:	for the caller
 * @error:	result: 0 or a negative errno
 * @bytes_done:	result: bytes proven copied from the start without a gap;
 *		less than the whole exactly when @error is not 0, and 0 after
 *		a dry run
 * @bytes_offloaded: result: how many of these the devices moved
 * @bytes_emulated: result: how many of these were read and written
 * @lost:	result: with @error, a device may still execute a command of this copy
 *
 * Zero the structure before use.  Everything below @lost is private.
 */
struct blk_copy {
	struct block_device		*src;
	struct block_device		*dst;
	const struct blk_copy_segment	*segs;
	unsigned int			nr_segs;
	sector_t			dst_sector;
	unsigned int			flags;
	struct blk_copy_set		*set;
	void	(*end_io)(struct blk_copy *copy);
	void	(*seg_end_io)(struct blk_copy *copy, unsigned int seg, int error);
	void				*private;

	int				error;
	u64				bytes_done;
	u64				bytes_offloaded;
	u64				bytes_emulated;
	bool				lost;

	/* private: */
	u64				len;		/* bytes of all segments */
	u64				next;		/* first byte not in a chunk */
	u64				fail_at;	/* start of the failed chunk */
	u64				stat_offloaded;
	u64				stat_emulated;
	u32				granule;	/* larger logical block */
	u32				chunk_bytes;	/* size of chunks */
	struct blk_copy_hint		hint;
	unsigned int			seg_idx;	/* segment of next */
	u64				seg_start;	/* its first byte */
	u64				segs_bytes;	/* of segments ended */
	unsigned int			segs_ended;
	unsigned int			nr_chunks;
	unsigned int			nr_units;
	bool				killed;
	bool				woken;		/* and not served yet */
	struct list_head		chunks;		/* in order of offset */
	struct blk_copy_pool		*pool;		/* last waited for */
	/* in pool.waiters */
	struct list_head		wait_entry __guarded_by(&set->lock);
	spinlock_t			done_lock;	/* the two lists below */
	struct list_head		done_chunks __guarded_by(&done_lock);
	struct list_head		done_units __guarded_by(&done_lock);
	atomic_t			events;		/* not yet seen by a runner */
	struct task_struct		*task;		/* synchronous issuer */
	struct work_struct		work;
	struct cgroup_subsys_state	*css;
	unsigned short			ioprio;
};

#ifdef CONFIG_BLK_COPY

int blk_copy_set_init(struct blk_copy_set *set, const char *name,
		      unsigned int nr_chunks, unsigned int nr_units,
		      mempool_t *bufs);
void blk_copy_set_exit(struct blk_copy_set *set);
int blkdev_issue_copy(struct blk_copy *copy);
void blkdev_issue_copy_async(struct blk_copy *copy);

ssize_t blkdev_copy_file_range(struct file *file_in, loff_t pos_in,
			       struct file *file_out, loff_t pos_out,
			       size_t len);

/**
 * blkdev_copies_files - is a copy between files for blkdev_copy_file_range()?
 * @file_in:	file to copy from
 * @file_out:	file to copy to
 *
 * Return: true if both are block devices.
 */
static inline bool blkdev_copies_files(const struct file *file_in,
				       const struct file *file_out)
{
	return S_ISBLK(file_inode(file_in)->i_mode) &&
		S_ISBLK(file_inode(file_out)->i_mode);
}

/* For stacking drivers */
void blk_copy_set_stacking_limits(struct queue_limits *lim);
void blk_copy_clear_limits(struct queue_limits *lim);
struct blk_copy_pin *blk_copy_pin_alloc(void);
void blk_copy_pin_put(struct blk_copy_pin *pin);
int blk_copy_pin_invalidate(struct blk_copy_pin *pin, unsigned int task_state);
blk_status_t blk_copy_pin_bio(struct bio *bio, struct blk_copy_pin *pin);

/* For leaf drivers */
u64 blk_copy_domain(const char *kind, const void *id, size_t len);
void blk_copy_in_end(struct bio *bio, const struct blk_copy_leaf_ops *ops,
		     void *leaf, u32 max_range_bytes);
blk_status_t blk_copy_out_begin(struct bio *bio,
				const struct blk_copy_leaf_ops *ops, void *leaf,
				u32 max_range_bytes, struct blk_copy_hold *hold);
void blk_copy_out_end(struct bio *bio, struct blk_copy_hold *hold,
		      enum blk_copy_outcome outcome);
void blk_copy_range_iter_init(struct blk_copy_range_iter *iter,
			      const struct bio *bio,
			      const struct blk_copy_hold *hold,
			      u32 max_range_bytes);
bool blk_copy_range_iter_next(struct blk_copy_range_iter *iter);

/**
 * bio_copy_token - the token of a copy bio
 * @bio:	a COPY_IN or COPY_OUT bio that has passed submit_bio_noacct()
 *
 * Return: the token, never NULL.
 */
static inline struct blk_copy_token *bio_copy_token(const struct bio *bio)
{
	return container_of(bio->bi_io_vec, struct blk_copy_layer, bv)->token;
}

/**
 * bio_copy_offset - where in its token a copy bio starts
 * @bio:	a COPY_IN or COPY_OUT bio
 *
 * Return: the offset in bytes.
 */
static inline u32 bio_copy_offset(const struct bio *bio)
{
	return bio->bi_iter.blk_copy_iter_off;
}

/**
 * blk_copy_is_source - may commands read from a queue?
 * @c:		copy limits of the queue
 *
 * Whoever switches offload off for a disk means this, too.
 *
 * Return: true if so; what has zones may be read from, and not written to.
 */
static inline bool blk_copy_is_source(const struct blk_copy_limits *c)
{
	return c->max_segment_sectors && c->max_user_sectors;
}

/**
 * bdev_max_copy_sectors - most sectors that a device copies in one command
 * @bdev:	block device
 *
 * Return: sectors of 512 bytes, 0 if the device cannot or may not copy.
 */
static inline unsigned int bdev_max_copy_sectors(struct block_device *bdev)
{
	return bdev_get_queue(bdev)->limits.copy.max_sectors;
}

#else /* CONFIG_BLK_COPY */

static inline ssize_t blkdev_copy_file_range(struct file *file_in,
					     loff_t pos_in,
					     struct file *file_out,
					     loff_t pos_out, size_t len)
{
	return -EINVAL;
}

static inline bool blkdev_copies_files(const struct file *file_in,
				       const struct file *file_out)
{
	return false;
}

static inline void blk_copy_set_stacking_limits(struct queue_limits *lim)
{
}

static inline void blk_copy_clear_limits(struct queue_limits *lim)
{
}

static inline struct blk_copy_pin *blk_copy_pin_alloc(void)
{
	return NULL;
}

static inline void blk_copy_pin_put(struct blk_copy_pin *pin)
{
}

static inline int blk_copy_pin_invalidate(struct blk_copy_pin *pin,
					  unsigned int task_state)
{
	return 0;
}

static inline blk_status_t blk_copy_pin_bio(struct bio *bio,
					    struct blk_copy_pin *pin)
{
	return BLK_STS_NOTSUPP;
}

static inline unsigned int bdev_max_copy_sectors(struct block_device *bdev)
{
	return 0;
}

#endif /* CONFIG_BLK_COPY */

#endif /* _LINUX_BLK_COPY_H */
