// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of the kernel API: copies in the background, the ends of their
 * segments, and private sets.
 *
 * They run on disks in memory that hold commands back, or fail them, as the test
 * says.  Each disk has a second memory, which holds what the first one should.
 */
#include <kunit/test.h>
#include <linux/blkdev.h>
#include <linux/delay.h>
#include <linux/highmem.h>
#include <linux/prandom.h>
#include <linux/sched/task_stack.h>
#include <linux/timer.h>

#include "../blk.h"
#include "../blk-copy-internal.h"

#define MAX_DISKS	2
#define TEST_TIMEOUT	(60 * HZ)
#define POISON		0x6b
#define NO_STATUS	BLK_STS_OK
#define WAIT(cond)	wait_event_timeout(event, cond, TEST_TIMEOUT)

#define assert_event(test, cond)					\
do {									\
	bool _seen = WAIT(cond);					\
									\
	KUNIT_ASSERT_TRUE_MSG(test, _seen, "waited for: " #cond);	\
} while (0)

/* Woken by everything that happens; its lock protects async_test.running */
static DECLARE_WAIT_QUEUE_HEAD(event);

enum fake_op { FAKE_IN, FAKE_OUT, FAKE_READ, FAKE_WRITE, FAKE_NR_OPS };

/* Commands of these kinds that touch [first, last] */
struct fake_rule {
	unsigned int	ops;
	sector_t	first;
	sector_t	last;
	blk_status_t	status;
};

#define FAKE_RULE(_ops, _first, _last, _status)				\
	((struct fake_rule) { _ops, _first, _last, _status })
#define FAKE_ALL(_ops, _status)	FAKE_RULE(_ops, 0, ~0ULL, _status)

/* Of one kind of command: ever, now, at most at a time, and the longest */
struct fake_count {
	unsigned int	seen;
	unsigned int	now;
	unsigned int	max;
	unsigned int	max_bytes;
};

struct fake_cmd;

/**
 * struct fake_disk - disk in memory that copies
 * @entry:	in idle_disks
 * @max_sectors: of one copy command, 0 = it cannot copy
 * @disk:	registered, but hidden
 * @bdev:	all of it
 * @data:	what is on it
 * @want:	what should be on it when the test is over
 * @bytes:	size of each
 * @later:	commands end in a timer, not before submit_bio() returns
 * @loses:	COPY_OUTs that fail may still be executed, as far as it knows
 * @judge:	decides how a command ends, or NULL
 * @judge_arg:	for @judge
 * @lock:	the members below
 * @hold:	commands that do not end until fake_release()
 * @fail:	commands that fail, and how
 * @stale:	COPY_OUTs that find their references stale
 * @held:	the former
 * @due:	commands that @timer is going to end
 * @timer:	ends commands
 * @count:	by &enum fake_op
 */
struct fake_disk {
	struct list_head	entry;
	unsigned int		max_sectors;
	struct gendisk		*disk;
	struct block_device	*bdev;
	u8			*data;
	u8			*want;
	size_t			bytes;
	bool			later;
	bool			loses;
	void			(*judge)(struct fake_cmd *cmd, const void *arg);
	const void		*judge_arg;
	spinlock_t		lock;	/* see above */
	struct fake_rule	hold;
	struct fake_rule	fail;
	struct fake_rule	stale;
	struct list_head	held;
	struct list_head	due;
	struct timer_list	timer;
	struct fake_count	count[FAKE_NR_OPS];
};

struct fake_cmd {
	struct list_head	entry;
	struct fake_disk	*f;
	struct bio		*bio;
	enum fake_op		op;
	blk_status_t		status;
	struct blk_copy_hold	hold;
};

/**
 * struct async_test - one test
 * @running:	copies that have been issued and not ended
 * @allocs:	memory that is freed when nothing uses it any more
 * @set:	private set, if @has_set
 * @has_set:	copies of the test use @set
 * @disk:	disks
 * @nr_disks:	of these
 * @upper:	disk on top of one of them, or NULL
 * @rnd:	for what is on them
 */
struct async_test {
	unsigned int		running;
	struct list_head	allocs;
	struct blk_copy_set	set;
	bool			has_set;
	struct fake_disk	*disk[MAX_DISKS];
	unsigned int		nr_disks;
	struct gendisk		*upper;
	struct rnd_state	rnd;
};

struct test_mem {
	struct list_head	entry;
	u64			data[];
};

/* Not by kunit_kzalloc(): a copy that hangs keeps its memory. */
static void *test_alloc(struct async_test *t, size_t bytes)
{
	struct test_mem *mem = kvzalloc(sizeof(*mem) + bytes, GFP_KERNEL);

	if (!mem)
		return NULL;
	list_add(&mem->entry, &t->allocs);
	return mem->data;
}

static void test_get(struct async_test *t)
{
	unsigned long flags;

	spin_lock_irqsave(&event.lock, flags);
	t->running++;
	spin_unlock_irqrestore(&event.lock, flags);
}

/* All of it under the lock: the test may be over right behind it. */
static void test_put(struct async_test *t)
{
	unsigned long flags;

	spin_lock_irqsave(&event.lock, flags);
	t->running--;
	wake_up_locked(&event);
	spin_unlock_irqrestore(&event.lock, flags);
}

static bool test_idle(struct async_test *t)
{
	bool idle;

	spin_lock_irq(&event.lock);
	idle = !t->running;
	spin_unlock_irq(&event.lock);
	return idle;
}

/* -------------------------------------------------- commands of a fake disk */

static const struct blk_copy_leaf_ops fake_copy_ops = {
	.name	= "fake",
};

static u32 fake_max_range(const struct fake_disk *f)
{
	return f->disk->queue->limits.copy.max_segment_sectors << SECTOR_SHIFT;
}

static enum fake_op fake_op(const struct bio *bio)
{
	switch (bio_op(bio)) {
	case REQ_OP_COPY_IN:
		return FAKE_IN;
	case REQ_OP_COPY_OUT:
		return FAKE_OUT;
	case REQ_OP_READ:
		return FAKE_READ;
	case REQ_OP_WRITE:
		return FAKE_WRITE;
	default:
		return FAKE_NR_OPS;
	}
}

static bool fake_matches(const struct fake_rule *rule,
			 const struct fake_cmd *cmd)
{
	return rule->ops & BIT(cmd->op) &&
		cmd->bio->bi_iter.bi_sector <= rule->last &&
		bio_end_sector(cmd->bio) > rule->first;
}

static void fake_copy(struct fake_cmd *cmd)
{
	const struct blk_copy_limits *lim = &cmd->f->disk->queue->limits.copy;
	u8 *data = cmd->f->data, *to;
	struct blk_copy_range_iter iter;

	/* Whoever cut the copy should have seen to that. */
	if (bio_sectors(cmd->bio) > lim->max_sectors ||
	    cmd->hold.nr_ranges > lim->max_segments) {
		cmd->status = BLK_STS_PROTECTION;
		return;
	}
	to = data + (cmd->bio->bi_iter.bi_sector << SECTOR_SHIFT);
	blk_copy_range_iter_init(&iter, cmd->bio, &cmd->hold,
				 fake_max_range(cmd->f));
	while (blk_copy_range_iter_next(&iter)) {
		memcpy(to, data + (iter.sector << SECTOR_SHIFT), iter.bytes);
		to += iter.bytes;
	}
}

static void fake_rw(struct fake_cmd *cmd)
{
	u8 *data = cmd->f->data +
		(cmd->bio->bi_iter.bi_sector << SECTOR_SHIFT);
	struct bvec_iter iter;
	struct bio_vec bv;

	bio_for_each_segment(bv, cmd->bio, iter) {
		if (cmd->op == FAKE_READ)
			memcpy_to_bvec(&bv, data);
		else
			memcpy_from_bvec(data, &bv);
		data += bv.bv_len;
	}
}

static void fake_execute(struct fake_cmd *cmd)
{
	if (cmd->status != BLK_STS_OK)
		return;
	if (cmd->op == FAKE_OUT)
		fake_copy(cmd);
	else if (cmd->op != FAKE_IN)
		fake_rw(cmd);
}

static void fake_end_out(struct fake_cmd *cmd)
{
	enum blk_copy_outcome outcome = BLK_COPY_FAILED;

	if (cmd->status == BLK_STS_OK)
		outcome = BLK_COPY_DONE;
	else if (cmd->status == BLK_STS_NOTSUPP)
		outcome = BLK_COPY_REFUSED;
	else if (cmd->f->loses)
		outcome = BLK_COPY_LOST;
	blk_copy_out_end(cmd->bio, &cmd->hold, outcome);
}

static void fake_end(struct fake_cmd *cmd)
{
	struct fake_disk *f = cmd->f;
	struct bio *bio = cmd->bio;
	bool copy_in = cmd->op == FAKE_IN && cmd->status == BLK_STS_OK;
	unsigned long flags;

	fake_execute(cmd);
	if (cmd->op == FAKE_OUT)
		fake_end_out(cmd);
	/* A piece that was cut off may have left an error here. */
	if (cmd->status != BLK_STS_OK)
		bio->bi_status = cmd->status;
	spin_lock_irqsave(&f->lock, flags);
	f->count[cmd->op].now--;
	spin_unlock_irqrestore(&f->lock, flags);
	kfree(cmd);
	if (copy_in)
		blk_copy_in_end(bio, &fake_copy_ops, f, fake_max_range(f));
	else
		bio_endio(bio);
	wake_up(&event);
}

static void fake_timer(struct timer_list *timer)
{
	struct fake_disk *f = timer_container_of(f, timer, timer);
	struct fake_cmd *cmd, *next;
	unsigned long flags;
	LIST_HEAD(due);

	spin_lock_irqsave(&f->lock, flags);
	list_splice_init(&f->due, &due);
	spin_unlock_irqrestore(&f->lock, flags);
	list_for_each_entry_safe(cmd, next, &due, entry)
		fake_end(cmd);
}

/* Returns false if the command is to end at once. */
static bool fake_queue(struct fake_cmd *cmd)
{
	struct fake_disk *f = cmd->f;
	struct fake_count *count = &f->count[cmd->op];
	bool queued = true;

	spin_lock_irq(&f->lock);
	count->seen++;
	count->max = max(count->max, ++count->now);
	count->max_bytes = max(count->max_bytes, cmd->bio->bi_iter.bi_size);
	if (cmd->status == BLK_STS_OK && fake_matches(&f->stale, cmd)) {
		set_bit(BLK_COPY_TOKEN_STALE, &bio_copy_token(cmd->bio)->flags);
		cmd->status = BLK_STS_NOTSUPP;
	}
	if (cmd->status == BLK_STS_OK && fake_matches(&f->fail, cmd))
		cmd->status = f->fail.status;
	if (cmd->status == BLK_STS_OK && f->judge)
		f->judge(cmd, f->judge_arg);
	if (fake_matches(&f->hold, cmd)) {
		list_add_tail(&cmd->entry, &f->held);
	} else if (f->later) {
		list_add_tail(&cmd->entry, &f->due);
		mod_timer(&f->timer, jiffies + 1);
	} else {
		queued = false;
	}
	spin_unlock_irq(&f->lock);
	return queued;
}

static void fake_submit_bio(struct bio *bio)
{
	struct fake_disk *f = bio->bi_bdev->bd_disk->private_data;
	struct fake_cmd *cmd;

	bio = bio_split_to_limits(bio);
	if (!bio)
		return;
	if (fake_op(bio) == FAKE_NR_OPS) {
		bio_io_error(bio);
		return;
	}
	cmd = kzalloc(sizeof(*cmd), GFP_NOIO | __GFP_NOFAIL);
	cmd->f = f;
	cmd->bio = bio;
	cmd->op = fake_op(bio);
	if (cmd->op == FAKE_OUT)
		cmd->status = blk_copy_out_begin(bio, &fake_copy_ops, f,
						 fake_max_range(f), &cmd->hold);
	if (!fake_queue(cmd))
		fake_end(cmd);
	else
		wake_up(&event);
}

static const struct block_device_operations fake_fops = {
	.owner		= THIS_MODULE,
	.submit_bio	= fake_submit_bio,
};

/* ------------------------------------------------------- control by the test */

static void fake_hold(struct fake_disk *f, struct fake_rule rule)
{
	spin_lock_irq(&f->lock);
	f->hold = rule;
	spin_unlock_irq(&f->lock);
}

static void fake_fail(struct fake_disk *f, struct fake_rule rule)
{
	spin_lock_irq(&f->lock);
	f->fail = rule;
	spin_unlock_irq(&f->lock);
}

/* Let those go that were held back; others of the kind are held as before. */
static void fake_release(struct fake_disk *f, struct fake_rule rule)
{
	struct fake_cmd *cmd, *next;

	spin_lock_irq(&f->lock);
	list_for_each_entry_safe(cmd, next, &f->held, entry)
		if (fake_matches(&rule, cmd))
			list_move_tail(&cmd->entry, &f->due);
	mod_timer(&f->timer, jiffies);
	spin_unlock_irq(&f->lock);
}

static void fake_release_all(struct fake_disk *f)
{
	fake_hold(f, FAKE_ALL(0, NO_STATUS));
	fake_release(f, FAKE_ALL(~0U, NO_STATUS));
}

static unsigned int fake_now(struct fake_disk *f, enum fake_op op)
{
	return READ_ONCE(f->count[op].now);
}

/* ----------------------------------------------------------- making of disks */

static void fake_fill(struct fake_disk *f, u64 seed)
{
	u64 *word = (u64 *)f->data;
	size_t i;

	/* No two words are the same. */
	for (i = 0; i < f->bytes / sizeof(*word); i++)
		word[i] = (seed += 0x9e3779b97f4a7c15ULL);
	memcpy(f->want, f->data, f->bytes);
}

static struct gendisk *fake_alloc_disk(struct queue_limits *lim,
				       const struct block_device_operations *fops,
				       void *private, size_t bytes)
{
	static atomic_t number;
	struct gendisk *disk = blk_alloc_disk(lim, NUMA_NO_NODE);

	if (IS_ERR(disk))
		return NULL;
	disk->fops = fops;
	disk->private_data = private;
	disk->flags |= GENHD_FL_HIDDEN | GENHD_FL_NO_PART;
	snprintf(disk->disk_name, DISK_NAME_LEN, "copytest%d",
		 atomic_inc_return(&number));
	set_capacity(disk, bytes >> SECTOR_SHIFT);
	if (device_add_disk(NULL, disk, NULL)) {
		put_disk(disk);
		return NULL;
	}
	return disk;
}

static void fake_free_disk(struct gendisk *disk)
{
	if (!disk)
		return;
	del_gendisk(disk);
	put_disk(disk);
}

/* Disks that no test uses: to make one takes longer than most tests. */
static LIST_HEAD(idle_disks);

static void fake_free(struct fake_disk *f)
{
	fake_free_disk(f->disk);
	timer_shutdown_sync(&f->timer);
	kvfree(f->data);
	kvfree(f->want);
	kfree(f);
}

static struct fake_disk *fake_alloc(size_t bytes, unsigned int max_sectors)
{
	struct fake_disk *f = kzalloc(sizeof(*f), GFP_KERNEL);
	struct queue_limits lim = {
		.max_hw_sectors			= UINT_MAX >> SECTOR_SHIFT,
		.max_segments			= USHRT_MAX,
		.max_segment_size		= UINT_MAX,
		.copy.max_hw_sectors		= max_sectors,
		.copy.max_segment_sectors	= max_sectors,
		.copy.max_segments		= BLK_COPY_TOKEN_ENTRIES,
		.copy.domain = max_sectors ?
			blk_copy_domain("fake", &f, sizeof(f)) : 0,
	};

	if (!f)
		return NULL;
	timer_setup(&f->timer, fake_timer, 0);
	spin_lock_init(&f->lock);
	INIT_LIST_HEAD(&f->held);
	INIT_LIST_HEAD(&f->due);
	f->bytes = bytes;
	f->max_sectors = max_sectors;
	f->data = kvmalloc(bytes, GFP_KERNEL);
	f->want = kvmalloc(bytes, GFP_KERNEL);
	if (f->data && f->want)
		f->disk = fake_alloc_disk(&lim, &fake_fops, f, bytes);
	if (!f->disk) {
		fake_free(f);
		return NULL;
	}
	f->bdev = f->disk->part0;
	return f;
}

static struct fake_disk *fake_find(size_t bytes, unsigned int max_sectors)
{
	struct fake_disk *f;

	list_for_each_entry(f, &idle_disks, entry) {
		if (f->bytes == bytes && f->max_sectors == max_sectors) {
			list_del(&f->entry);
			return f;
		}
	}
	return NULL;
}

static void fake_reset(struct fake_disk *f)
{
	f->later = false;
	f->judge = NULL;
	f->fail = FAKE_ALL(0, NO_STATUS);
	f->stale = FAKE_ALL(0, NO_STATUS);
	f->hold = FAKE_ALL(0, NO_STATUS);
	memset(f->count, 0, sizeof(f->count));
	memset(&f->disk->copy_stats, 0, sizeof(f->disk->copy_stats));
}

/**
 * new_disk - get a disk with some data on it
 * @test:	the test
 * @bytes:	its size
 * @max_sectors: of one copy command, 0 = it cannot copy
 *
 * Return: the disk.
 */
static struct fake_disk *new_disk(struct kunit *test, size_t bytes,
				  unsigned int max_sectors)
{
	struct async_test *t = test->priv;
	struct fake_disk *f = fake_find(bytes, max_sectors);

	if (!f)
		f = fake_alloc(bytes, max_sectors);
	KUNIT_ASSERT_NOT_NULL(test, f);
	fake_reset(f);
	t->disk[t->nr_disks++] = f;
	fake_fill(f, prandom_u32_state(&t->rnd));
	return f;
}

#define ANY_SECTORS	(SZ_1G >> SECTOR_SHIFT)

static u64 fake_stat(const struct fake_disk *f, enum blk_copy_stat_item item)
{
	return atomic64_read(&f->disk->copy_stats.item[item]);
}

static size_t fake_first_difference(const struct fake_disk *f)
{
	size_t i;

	if (!memcmp(f->data, f->want, f->bytes))
		return f->bytes;
	for (i = 0; f->data[i] == f->want[i]; i++)
		;
	return i;
}

static void expect_data(struct kunit *test, struct fake_disk *f)
{
	KUNIT_EXPECT_EQ_MSG(test, fake_first_difference(f), f->bytes,
			    "byte of %s that is wrong", f->disk->disk_name);
}

static void new_set(struct kunit *test, unsigned int nr_chunks,
		    unsigned int nr_units)
{
	struct async_test *t = test->priv;

	KUNIT_ASSERT_EQ(test, blk_copy_set_init(&t->set, "kunit", nr_chunks,
						nr_units, NULL), 0);
	t->has_set = true;
}

/* ------------------------------------------------------------- test copies */

/* What a callback may do wrong */
enum {
	WRONG_ORDER	= BIT(0),	/* of the segments, or behind the end */
	WRONG_CONTEXT	= BIT(1),	/* cannot sleep, or is the issuer */
	WRONG_DATA	= BIT(2),	/* good segment, but not written */
	WRONG_ERROR	= BIT(3),	/* not the error of the copy, or a gap */
	WRONG_TWICE	= BIT(4),	/* it has ended before */
};

/**
 * struct test_copy - a copy on one disk, and what its callbacks saw
 * @copy:	the copy; poisoned when it has ended
 * @t:		the test
 * @f:		the disk
 * @segs:	its segments
 * @nr_segs:	of these
 * @dst:	first sector of the destination
 * @bytes:	of all segments
 * @issuer:	thread that is issuing it
 * @seg_off:	bytes of the segments that have ended
 * @segs_ended:	segments that have ended, in order
 * @segs_good:	of these, without an error
 * @seg_error:	the error of the others
 * @ended:	it is over
 * @wrong:	WRONG_* bits
 * @stack:	bytes of the stack that were left at its end
 * @error:	result
 * @done:	result
 * @offloaded:	result
 * @emulated:	result
 * @links:	copies of a chain that follow
 */
struct test_copy {
	struct blk_copy		copy;
	struct async_test	*t;
	struct fake_disk	*f;
	struct blk_copy_segment	*segs;
	unsigned int		nr_segs;
	sector_t		dst;
	u64			bytes;
	struct task_struct	*issuer;
	u64			seg_off;
	unsigned int		segs_ended;
	unsigned int		segs_good;
	int			seg_error;
	unsigned int		ended;
	unsigned int		wrong;
	unsigned long		stack;
	int			error;
	u64			done;
	u64			offloaded;
	u64			emulated;
	unsigned int		links;
};

static unsigned int check_context(const struct test_copy *c)
{
	might_sleep();
	return !in_task() || irqs_disabled() ||
		READ_ONCE(c->issuer) == current ? WRONG_CONTEXT : 0;
}

static bool seg_is_copied(const struct test_copy *c, unsigned int seg)
{
	const struct blk_copy_segment *s = &c->segs[seg];

	return !memcmp(c->f->data + (c->dst << SECTOR_SHIFT) + c->seg_off,
		       c->f->data + (s->sector << SECTOR_SHIFT),
		       s->nr_sects << SECTOR_SHIFT);
}

static void seg_ended(struct blk_copy *copy, unsigned int seg, int error)
{
	struct test_copy *c = copy->private;

	c->wrong |= check_context(c);
	if (seg != c->segs_ended || seg >= c->nr_segs || c->ended) {
		c->wrong |= WRONG_ORDER;
		return;
	}
	if (error) {
		if (c->seg_error && error != c->seg_error)
			c->wrong |= WRONG_ERROR;
		c->seg_error = error;
	} else {
		if (c->seg_error)
			c->wrong |= WRONG_ERROR;
		if (!seg_is_copied(c, seg))
			c->wrong |= WRONG_DATA;
		c->segs_good++;
	}
	c->seg_off += (u64)c->segs[seg].nr_sects << SECTOR_SHIFT;
	WRITE_ONCE(c->segs_ended, seg + 1);
	wake_up(&event);
}

static void take_results(struct test_copy *c)
{
	const struct blk_copy *copy = &c->copy;

	c->error = copy->error;
	c->done = copy->bytes_done;
	c->offloaded = copy->bytes_offloaded;
	c->emulated = copy->bytes_emulated;
	if (copy->seg_end_io && (c->segs_ended != c->nr_segs ||
				 c->seg_error != c->error))
		c->wrong |= WRONG_ERROR;
}

/* From here on the copy is not the core's any more: see that it keeps out. */
static void copy_ended(struct blk_copy *copy)
{
	struct test_copy *c = copy->private;

	c->wrong |= check_context(c);
	if (c->ended)
		c->wrong |= WRONG_TWICE;
	take_results(c);
	memset(copy, POISON, sizeof(*copy));
	/* Pairs with ended(): results come before. */
	smp_store_release(&c->ended, c->ended + 1);
	test_put(c->t);
}

/* Where a test copy reads, and where it writes, in sectors */
struct span {
	sector_t	src;
	unsigned int	stride;	/* from the start of a segment to the next */
	unsigned int	sects;	/* of a segment */
	unsigned int	nr_segs;
	sector_t	dst;
};

static void init_copy(struct test_copy *c, unsigned int flags)
{
	memset(&c->copy, 0, sizeof(c->copy));
	c->copy.src = c->f->bdev;
	c->copy.dst = c->f->bdev;
	c->copy.segs = c->segs;
	c->copy.nr_segs = c->nr_segs;
	c->copy.dst_sector = c->dst;
	c->copy.flags = flags;
	c->copy.set = c->t->has_set ? &c->t->set : NULL;
	c->copy.end_io = copy_ended;
	c->copy.seg_end_io = seg_ended;
	c->copy.private = c;
}

static struct test_copy *new_copy(struct kunit *test, struct fake_disk *f,
				  struct span s, unsigned int flags)
{
	struct test_copy *c = test_alloc(test->priv, sizeof(*c));
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, c);
	c->t = test->priv;
	c->f = f;
	c->nr_segs = s.nr_segs;
	c->dst = s.dst;
	c->segs = test_alloc(c->t, s.nr_segs * sizeof(*c->segs));
	KUNIT_ASSERT_NOT_NULL(test, c->segs);
	for (i = 0; i < s.nr_segs; i++) {
		c->segs[i].sector = s.src + i * s.stride;
		c->segs[i].nr_sects = s.sects;
	}
	c->bytes = (u64)s.nr_segs * s.sects << SECTOR_SHIFT;
	init_copy(c, flags);
	return c;
}

/* Called before it is issued: the first @bytes of the copy should be made. */
static void want_copy(struct test_copy *c, u64 bytes)
{
	u8 *want = c->f->want, *to = want + (c->dst << SECTOR_SHIFT);
	unsigned int i;
	u64 len;

	for (i = 0; i < c->nr_segs && bytes; i++) {
		len = min((u64)c->segs[i].nr_sects << SECTOR_SHIFT, bytes);
		memcpy(to, want + (c->segs[i].sector << SECTOR_SHIFT), len);
		to += len;
		bytes -= len;
	}
}

static void issue(struct test_copy *c)
{
	test_get(c->t);
	WRITE_ONCE(c->issuer, current);
	blkdev_issue_copy_async(&c->copy);
	WRITE_ONCE(c->issuer, NULL);
}

static bool ended(const struct test_copy *c)
{
	/* Pairs with copy_ended(). */
	return smp_load_acquire(&c->ended);
}

static void expect_end(struct kunit *test, struct test_copy *c, int error,
		       u64 done)
{
	assert_event(test, ended(c));
	KUNIT_EXPECT_EQ(test, c->wrong, 0);
	KUNIT_EXPECT_EQ(test, c->error, error);
	KUNIT_EXPECT_EQ(test, c->done, done);
	KUNIT_EXPECT_EQ(test, c->offloaded + c->emulated, done);
}

/* It ended well, by a device or by reading and writing. */
static void expect_good(struct kunit *test, struct test_copy *c)
{
	expect_end(test, c, 0, c->bytes);
	KUNIT_EXPECT_EQ(test, c->segs_good, c->nr_segs);
}

/* --------------------------------------------------- what tests are run with */

struct async_mode {
	const char	*desc;
	unsigned int	flags;
	bool		later;
};

static const struct async_mode modes[] = {
	{ "offload, inline" },
	{ "offload, from a timer", .later = true },
	{ "emulation, inline", BLK_COPY_NO_OFFLOAD },
	{ "emulation, from a timer", BLK_COPY_NO_OFFLOAD, true },
};

KUNIT_ARRAY_PARAM_DESC(mode, modes, desc);

static void expect_how(struct kunit *test, const struct test_copy *c)
{
	const struct async_mode *m = test->param_value;

	KUNIT_EXPECT_EQ(test, m->flags & BLK_COPY_NO_OFFLOAD ? c->emulated :
			c->offloaded, c->bytes);
}

/* ------------------------------------------------------------ many at a time */

#define NR_MANY		8
#define MANY_SECTS	128

static void many_copies(struct kunit *test, struct fake_disk *f,
			unsigned int flags, struct test_copy **c)
{
	unsigned int i;

	for (i = 0; i < NR_MANY; i++) {
		c[i] = new_copy(test, f, (struct span) {
			.src = i * MANY_SECTS, .nr_segs = 4,
			.stride = MANY_SECTS / 4, .sects = MANY_SECTS / 4,
			.dst = 1501 + i * (MANY_SECTS + 3),
		}, flags);
		want_copy(c[i], c[i]->bytes);
	}
}

/* One thread issues them all while none can end, and the disk has them all. */
static void async_in_flight(struct kunit *test)
{
	const struct async_mode *m = test->param_value;
	bool emulate = m->flags & BLK_COPY_NO_OFFLOAD;
	enum fake_op op = emulate ? FAKE_WRITE : FAKE_OUT;
	struct fake_disk *f = new_disk(test, SZ_2M, ANY_SECTORS);
	struct test_copy *c[NR_MANY];
	unsigned int i;

	f->later = m->later;
	many_copies(test, f, m->flags, c);
	fake_hold(f, FAKE_ALL(BIT(op), NO_STATUS));
	for (i = 0; i < NR_MANY; i++)
		issue(c[i]);
	assert_event(test, fake_now(f, op) == NR_MANY);
	for (i = 0; i < NR_MANY; i++) {
		KUNIT_EXPECT_FALSE(test, ended(c[i]));
		KUNIT_EXPECT_EQ(test, READ_ONCE(c[i]->segs_ended), 0);
	}

	/* One of them, and only this one, ends. */
	fake_release(f, FAKE_RULE(BIT(op), c[5]->dst, c[5]->dst, NO_STATUS));
	expect_good(test, c[5]);
	KUNIT_EXPECT_EQ(test, fake_now(f, op), NR_MANY - 1);
	for (i = 0; i < NR_MANY; i++)
		KUNIT_EXPECT_EQ(test, ended(c[i]), i == 5);

	fake_release_all(f);
	for (i = 0; i < NR_MANY; i++)
		expect_good(test, c[i]);
	expect_data(test, f);
	KUNIT_EXPECT_EQ(test, f->count[op].max, NR_MANY);
	KUNIT_EXPECT_EQ(test, f->count[op].seen, NR_MANY);
}

/* The core may not touch a copy behind its end. */
static void async_end_is_last(struct kunit *test)
{
	const struct async_mode *m = test->param_value;
	struct fake_disk *f = new_disk(test, SZ_2M, ANY_SECTORS);
	struct async_test *t = test->priv;
	struct test_copy *c[NR_MANY];
	unsigned int i;

	f->later = m->later;
	new_set(test, 4, 4);
	many_copies(test, f, m->flags, c);
	for (i = 0; i < NR_MANY; i++)
		issue(c[i]);
	for (i = 0; i < NR_MANY; i++)
		expect_good(test, c[i]);
	/* This waits for the workers. */
	t->has_set = false;
	blk_copy_set_exit(&t->set);
	for (i = 0; i < NR_MANY; i++) {
		KUNIT_EXPECT_NULL(test, memchr_inv(&c[i]->copy, POISON,
						   sizeof(c[i]->copy)));
		KUNIT_EXPECT_EQ(test, c[i]->ended, 1);
	}
	expect_data(test, f);
}

static void sync_many(struct kunit *test)
{
	const struct async_mode *m = test->param_value;
	struct fake_disk *f = new_disk(test, SZ_2M, ANY_SECTORS);
	struct test_copy *c[NR_MANY];
	unsigned int i;

	f->later = m->later;
	many_copies(test, f, m->flags, c);
	for (i = 0; i < NR_MANY; i++) {
		KUNIT_EXPECT_EQ(test, blkdev_issue_copy(&c[i]->copy), 0);
		take_results(c[i]);
		KUNIT_EXPECT_EQ(test, c[i]->ended, 0);
		KUNIT_EXPECT_EQ(test, c[i]->wrong, 0);
		KUNIT_EXPECT_EQ(test, c[i]->error, 0);
		KUNIT_EXPECT_EQ(test, c[i]->done, c[i]->bytes);
		KUNIT_EXPECT_EQ(test, c[i]->segs_good, c[i]->nr_segs);
		expect_how(test, c[i]);
	}
	expect_data(test, f);
}

static void expect_invalid(struct kunit *test, struct span s)
{
	struct fake_disk *f = new_disk(test, SZ_2M, ANY_SECTORS);
	struct test_copy *c = new_copy(test, f, s, 0);

	/* Arguments may be refused in the thread that gave them. */
	test_get(c->t);
	blkdev_issue_copy_async(&c->copy);
	expect_end(test, c, -EINVAL, 0);
	KUNIT_EXPECT_EQ(test, c->segs_ended, 3);
	KUNIT_EXPECT_EQ(test, c->segs_good, 0);
	KUNIT_EXPECT_EQ(test, f->count[FAKE_IN].seen, 0);
	expect_data(test, f);
}

static void async_invalid(struct kunit *test)
{
	struct span too_long = { .stride = 8, .sects = 8, .nr_segs = 3,
				 .dst = 4080 };
	struct span empty = { .stride = 8, .sects = 0, .nr_segs = 3,
			      .dst = 1000 };

	expect_invalid(test, too_long);
	expect_invalid(test, empty);
}

/* -------------------------------------------------------- ends of segments */

#define UNIT_SECTS	(BLK_COPY_UNIT_BYTES >> SECTOR_SHIFT)
#define NR_UNITS	6

static void segs_in_order(struct kunit *test)
{
	const struct async_mode *m = test->param_value;
	struct fake_disk *f = new_disk(test, SZ_4M, ANY_SECTORS);
	struct span s = { .src = 7, .stride = 41, .sects = 31, .nr_segs = 90,
			  .dst = 4001 };
	struct test_copy *c = new_copy(test, f, s, m->flags);

	f->later = m->later;
	want_copy(c, c->bytes);
	issue(c);
	expect_good(test, c);
	expect_how(test, c);
	expect_data(test, f);
}

/* Segments whose data is on the disk are told before the chunk has ended. */
static void segs_early_emulated(struct kunit *test)
{
	struct fake_disk *f = new_disk(test, 2 * NR_UNITS * BLK_COPY_UNIT_BYTES,
				       ANY_SECTORS);
	struct span s = { .stride = 128, .sects = 128, .nr_segs = NR_UNITS * 8,
			  .dst = NR_UNITS * UNIT_SECTS };
	struct test_copy *c;
	const unsigned int write = BIT(FAKE_WRITE);
	sector_t unit[NR_UNITS];
	unsigned int i;

	new_set(test, 1, NR_UNITS);
	c = new_copy(test, f, s, BLK_COPY_NO_OFFLOAD);
	for (i = 0; i < NR_UNITS; i++)
		unit[i] = s.dst + i * UNIT_SECTS;
	want_copy(c, c->bytes);
	fake_hold(f, FAKE_ALL(write, NO_STATUS));
	issue(c);
	assert_event(test, fake_now(f, FAKE_WRITE) == NR_UNITS);
	KUNIT_EXPECT_EQ(test, READ_ONCE(c->segs_ended), 0);

	fake_release(f, FAKE_RULE(write, unit[0], unit[0], NO_STATUS));
	assert_event(test, READ_ONCE(c->segs_ended) == 8);

	/* There is a gap before this one. */
	fake_release(f, FAKE_RULE(write, unit[2], unit[2], NO_STATUS));
	assert_event(test, fake_now(f, FAKE_WRITE) == NR_UNITS - 2);
	msleep(20);
	KUNIT_EXPECT_EQ(test, READ_ONCE(c->segs_ended), 8);

	fake_release(f, FAKE_RULE(write, unit[1], unit[1], NO_STATUS));
	assert_event(test, READ_ONCE(c->segs_ended) == 24);
	KUNIT_EXPECT_EQ(test, fake_now(f, FAKE_WRITE), NR_UNITS - 3);
	KUNIT_EXPECT_FALSE(test, ended(c));

	fake_release_all(f);
	expect_good(test, c);
	expect_data(test, f);
}

/* The last write fails: what was told before stays told. */
static void segs_early_then_error(struct kunit *test)
{
	struct fake_disk *f = new_disk(test, 2 * NR_UNITS * BLK_COPY_UNIT_BYTES,
				       ANY_SECTORS);
	struct span s = { .stride = 128, .sects = 128, .nr_segs = NR_UNITS * 8,
			  .dst = NR_UNITS * UNIT_SECTS };
	struct test_copy *c;
	const sector_t last = s.dst + (NR_UNITS - 1) * UNIT_SECTS;
	const struct fake_rule rule = FAKE_RULE(BIT(FAKE_WRITE), last, last + 5,
						BLK_STS_NOSPC);

	new_set(test, 1, NR_UNITS);
	c = new_copy(test, f, s, BLK_COPY_NO_OFFLOAD);
	want_copy(c, c->bytes - BLK_COPY_UNIT_BYTES);
	fake_hold(f, rule);
	fake_fail(f, rule);
	issue(c);
	assert_event(test, READ_ONCE(c->segs_ended) ==
				   c->nr_segs - 8);
	KUNIT_EXPECT_FALSE(test, ended(c));
	fake_release_all(f);
	expect_end(test, c, -ENOSPC, c->bytes - BLK_COPY_UNIT_BYTES);
	KUNIT_EXPECT_EQ(test, c->segs_good, c->nr_segs - 8);
	expect_data(test, f);
}

/* What lies behind an error has been copied or is as it was, by sectors. */
static void want_either(struct test_copy *c)
{
	u8 *want = c->f->want + (c->dst << SECTOR_SHIFT);
	u8 *data = c->f->data + (c->dst << SECTOR_SHIFT);
	unsigned int i, j;
	u64 pos = 0;

	for (i = 0; i < c->nr_segs; i++) {
		for (j = 0; j < c->segs[i].nr_sects; j++, pos += SECTOR_SIZE) {
			u8 *src = c->f->want +
				((c->segs[i].sector + j) << SECTOR_SHIFT);

			if (pos >= c->done &&
			    !memcmp(data + pos, src, SECTOR_SIZE))
				memcpy(want + pos, src, SECTOR_SIZE);
		}
	}
}

struct error_case {
	const char		*desc;
	unsigned int		flags;
	unsigned int		max_sectors;
	struct fake_rule	fail;	/* sectors from src or dst */
	unsigned int		good;	/* sectors */
	unsigned int		segs_good;
	int			error;
};

/* Some units of UNIT_SECTS, in segments that do not fit them */
#define ERROR_SECTS	300
#define ERROR_SEGS	11
#define ERROR_DST	(ERROR_SECTS * ERROR_SEGS + 9)

static const struct error_case error_cases[] = {
	{ "device fails", BLK_COPY_NO_EMULATION, ERROR_SECTS,
	  { BIT(FAKE_OUT), 2000, 2000, BLK_STS_MEDIUM },
	  1800, 6, -ENODATA },
	{ "device fails the first command", BLK_COPY_NO_EMULATION, 100,
	  { BIT(FAKE_OUT), 0, 0, BLK_STS_TARGET }, 0, 0, -EREMOTEIO },
	{ "device fails within a segment", BLK_COPY_NO_EMULATION, 100,
	  { BIT(FAKE_OUT), 2299, 2299, BLK_STS_IOERR }, 2200, 7, -EIO },
	{ "device refuses from some sector on", BLK_COPY_NO_EMULATION, 100,
	  { BIT(FAKE_OUT), 3100, ~0U, BLK_STS_NOTSUPP }, 3100, 10, -EOPNOTSUPP },
	{ "write fails", BLK_COPY_NO_OFFLOAD, ERROR_SECTS,
	  { BIT(FAKE_WRITE), 2500, 2501, BLK_STS_IOERR },
	  2 * UNIT_SECTS, 6, -EIO },
	{ "first write fails", BLK_COPY_NO_OFFLOAD, ERROR_SECTS,
	  { BIT(FAKE_WRITE), 0, 0, BLK_STS_NOSPC }, 0, 0, -ENOSPC },
	{ "read fails", BLK_COPY_NO_OFFLOAD, ERROR_SECTS,
	  { BIT(FAKE_READ), 3299, 3299, BLK_STS_MEDIUM },
	  3 * UNIT_SECTS, 10, -ENODATA },
	{ "device fails and the write fails", 0, ERROR_SECTS,
	  { BIT(FAKE_OUT) | BIT(FAKE_WRITE), 2000, 2000, BLK_STS_MEDIUM },
	  1800, 6, -ENODATA },
};

KUNIT_ARRAY_PARAM_DESC(error, error_cases, desc);

static void one_error(struct kunit *test, bool later)
{
	const struct error_case *e = test->param_value;
	struct fake_disk *f = new_disk(test, 7 * SZ_512K, e->max_sectors);
	struct span s = { .stride = ERROR_SECTS, .sects = ERROR_SECTS,
			  .nr_segs = ERROR_SEGS, .dst = ERROR_DST };
	u64 good = (u64)e->good << SECTOR_SHIFT;
	struct fake_rule fail = e->fail;
	struct test_copy *c;

	new_set(test, 1, 8);
	c = new_copy(test, f, s, e->flags);
	if (!(fail.ops & BIT(FAKE_READ))) {
		fail.first += s.dst;
		fail.last += s.dst;
	}
	f->later = later;
	fake_fail(f, fail);
	want_copy(c, good);
	issue(c);
	expect_end(test, c, e->error, good);
	KUNIT_EXPECT_EQ(test, c->segs_good, e->segs_good);
	want_either(c);
	expect_data(test, f);
	/* What failed was not copied: else the test proves nothing. */
	if (c->done < c->bytes && !(fail.ops & BIT(FAKE_READ)))
		KUNIT_EXPECT_NE(test, 0,
				memcmp(f->data + (fail.first << SECTOR_SHIFT),
				       f->data + ((fail.first - s.dst) << SECTOR_SHIFT),
				       SECTOR_SIZE));
}

static void segs_with_error(struct kunit *test)
{
	one_error(test, false);
}

static void segs_with_error_later(struct kunit *test)
{
	one_error(test, true);
}

/* A unit that had less to do before: its buffer grows, but not without end. */
static void units_are_bounded(struct kunit *test)
{
	struct fake_disk *f = new_disk(test, SZ_2M * 2, 0);
	struct span s = { .stride = 136, .sects = 136, .nr_segs = 1 };
	struct test_copy *c;

	new_set(test, 1, 1);
	for (s.dst = 3000; s.nr_segs <= 20; s.nr_segs += 19, s.dst += 200) {
		c = new_copy(test, f, s, 0);
		want_copy(c, c->bytes);
		issue(c);
		expect_good(test, c);
	}
	expect_data(test, f);
	KUNIT_EXPECT_LE(test, f->count[FAKE_WRITE].max_bytes,
			BLK_COPY_UNIT_BYTES);
}

/* ---------------------------------------------------------------- fallback */

/* A device fails one of its commands: only that is read and written. */
static void error_is_emulated(struct kunit *test)
{
	struct fake_disk *f = new_disk(test, SZ_2M, 128);
	struct span s = { .stride = 64, .sects = 64, .nr_segs = 16,
			  .dst = 2001 };
	struct test_copy *c = new_copy(test, f, s, 0);

	f->later = true;
	fake_fail(f, FAKE_RULE(BIT(FAKE_OUT), 2001 + 300, 2001 + 300,
			       BLK_STS_MEDIUM));
	want_copy(c, c->bytes);
	issue(c);
	expect_good(test, c);
	KUNIT_EXPECT_EQ(test, c->emulated, SZ_64K);
	KUNIT_EXPECT_EQ(test, f->count[FAKE_OUT].seen, 8);
	KUNIT_EXPECT_EQ(test, f->count[FAKE_WRITE].seen, 1);
	expect_data(test, f);
}

/* What may still be executed is not read and written by somebody else. */
static void lost_is_not_emulated(struct kunit *test)
{
	struct fake_disk *f = new_disk(test, SZ_2M, 128);
	struct span s = { .stride = 64, .sects = 64, .nr_segs = 16,
			  .dst = 2001 };
	struct test_copy *c = new_copy(test, f, s, 0);

	fake_fail(f, FAKE_RULE(BIT(FAKE_OUT), 2001 + 300, 2001 + 300,
			       BLK_STS_TIMEOUT));
	f->loses = true;
	issue(c);
	assert_event(test, ended(c));
	KUNIT_EXPECT_EQ(test, c->error, -ENOLINK);
	KUNIT_EXPECT_TRUE(test, c->copy.lost);
	KUNIT_EXPECT_EQ(test, c->done, 2 * 128 * SECTOR_SIZE);
	KUNIT_EXPECT_EQ(test, c->offloaded, c->done);
	KUNIT_EXPECT_EQ(test, c->emulated, 0);
	KUNIT_EXPECT_EQ(test, f->count[FAKE_READ].seen, 0);
	KUNIT_EXPECT_EQ(test, f->count[FAKE_WRITE].seen, 0);
	KUNIT_EXPECT_EQ(test, fake_stat(f, BLK_COPY_STAT_COMMAND_ERRORS), 1);
	KUNIT_EXPECT_EQ(test, fake_stat(f, BLK_COPY_STAT_ERROR_FALLBACKS), 1);
}

static void refused_is_emulated(struct kunit *test)
{
	struct fake_disk *f = new_disk(test, SZ_2M, ANY_SECTORS);
	struct span s = { .stride = 64, .sects = 64, .nr_segs = 16,
			  .dst = 2001 };
	struct test_copy *c = new_copy(test, f, s, 0);

	fake_fail(f, FAKE_ALL(BIT(FAKE_OUT), BLK_STS_NOTSUPP));
	want_copy(c, c->bytes);
	issue(c);
	expect_good(test, c);
	KUNIT_EXPECT_EQ(test, c->emulated, c->bytes);
	KUNIT_EXPECT_EQ(test, f->count[FAKE_OUT].seen, 1);
	expect_data(test, f);
}

static void expect_forbidden(struct kunit *test, struct fake_disk *f)
{
	struct span s = { .stride = 64, .sects = 64, .nr_segs = 16,
			  .dst = 2001 };
	struct test_copy *c = new_copy(test, f, s, BLK_COPY_NO_EMULATION);

	issue(c);
	expect_end(test, c, -EOPNOTSUPP, 0);
	KUNIT_EXPECT_EQ(test, c->segs_ended, c->nr_segs);
	KUNIT_EXPECT_EQ(test, c->segs_good, 0);
	KUNIT_EXPECT_EQ(test, f->count[FAKE_READ].seen, 0);
	KUNIT_EXPECT_EQ(test, f->count[FAKE_WRITE].seen, 0);
	expect_data(test, f);
}

static void forbidden_refused(struct kunit *test)
{
	struct fake_disk *f = new_disk(test, SZ_2M, ANY_SECTORS);

	fake_fail(f, FAKE_ALL(BIT(FAKE_OUT), BLK_STS_NOTSUPP));
	expect_forbidden(test, f);
	KUNIT_EXPECT_EQ(test, f->count[FAKE_OUT].seen, 1);
	fake_fail(f, FAKE_ALL(BIT(FAKE_IN), BLK_STS_NOTSUPP));
	expect_forbidden(test, f);
	KUNIT_EXPECT_EQ(test, f->count[FAKE_OUT].seen, 1);
}

static void forbidden_without_limit(struct kunit *test)
{
	struct fake_disk *f = new_disk(test, SZ_2M, 0);

	expect_forbidden(test, f);
	KUNIT_EXPECT_EQ(test, f->count[FAKE_IN].seen, 0);
}

static void overflow_token(struct fake_cmd *cmd, const void *arg)
{
	if (cmd->op != FAKE_IN)
		return;
	set_bit(BLK_COPY_TOKEN_OVERFLOW, &bio_copy_token(cmd->bio)->flags);
	cmd->status = BLK_STS_NOTSUPP;
}

/* Every command is one of whole blocks of 4096 bytes. */
static void note_granule(struct fake_cmd *cmd, const void *arg)
{
	if (!IS_ALIGNED(cmd->bio->bi_iter.bi_sector | bio_sectors(cmd->bio), 8))
		cmd->status = BLK_STS_INVAL;
}

/* Even one block is too fragmented for a token: halved until it is emulated. */
static void overflow_is_emulated(struct kunit *test)
{
	struct fake_disk *f = new_disk(test, SZ_2M, ANY_SECTORS);
	struct span s = { .sects = 16, .nr_segs = 1, .dst = 2001 };
	struct test_copy *c = new_copy(test, f, s, 0);

	f->judge = overflow_token;
	want_copy(c, c->bytes);
	issue(c);
	expect_good(test, c);
	KUNIT_EXPECT_EQ(test, c->emulated, c->bytes);
	KUNIT_EXPECT_EQ(test, f->count[FAKE_OUT].seen, 0);
	/* 16, 8, 4, 2, 1, and two more blocks until the call has learnt it */
	KUNIT_EXPECT_EQ(test, fake_stat(f, BLK_COPY_STAT_OVERFLOW), 5 + 2);
	expect_data(test, f);
}

static void forbidden_overflow(struct kunit *test)
{
	struct fake_disk *f = new_disk(test, SZ_2M, ANY_SECTORS);

	f->judge = overflow_token;
	expect_forbidden(test, f);
	KUNIT_EXPECT_EQ(test, f->count[FAKE_OUT].seen, 0);
	KUNIT_EXPECT_NE(test, fake_stat(f, BLK_COPY_STAT_OVERFLOW), 0);
}

/* No token is sent before all of its COPY_INs have ended. */
static void out_waits_for_all_ins(struct kunit *test)
{
	struct fake_disk *f = new_disk(test, SZ_2M, ANY_SECTORS);
	struct span s = { .sects = 16, .stride = 32, .nr_segs = 3, .dst = 2001 };
	struct test_copy *c = new_copy(test, f, s, 0);

	/* The first and the last end at once. */
	fake_hold(f, FAKE_RULE(BIT(FAKE_IN), 32, 47, NO_STATUS));
	want_copy(c, c->bytes);
	issue(c);
	assert_event(test, f->count[FAKE_IN].seen == 3);
	KUNIT_ASSERT_FALSE(test, ended(c));
	flush_workqueue(c->copy.set->wq);
	KUNIT_EXPECT_EQ(test, f->count[FAKE_OUT].seen, 0);
	KUNIT_EXPECT_EQ(test, fake_now(f, FAKE_IN), 1);
	fake_release_all(f);
	expect_good(test, c);
	KUNIT_EXPECT_EQ(test, c->offloaded, c->bytes);
	KUNIT_EXPECT_EQ(test, f->count[FAKE_OUT].seen, 1);
	expect_data(test, f);
}

/* A step that an earlier window was cut to is no multiple of a block of today. */
static void step_is_whole_blocks(struct kunit *test)
{
	struct fake_disk *f = new_disk(test, SZ_2M, ANY_SECTORS);
	struct queue_limits *lim = &f->disk->queue->limits;
	struct span s = { .sects = 64, .nr_segs = 1, .dst = 2000 };
	struct test_copy *c = new_copy(test, f, s, 0);

	lim->logical_block_size = SZ_4K;
	c->copy.hint.step_bytes = 13 << SECTOR_SHIFT;
	f->judge = note_granule;
	fake_fail(f, FAKE_ALL(BIT(FAKE_OUT), BLK_STS_NOTSUPP));
	want_copy(c, c->bytes);
	issue(c);
	assert_event(test, ended(c));
	lim->logical_block_size = SECTOR_SIZE;
	expect_good(test, c);
	KUNIT_EXPECT_EQ(test, c->emulated, c->bytes);
	expect_data(test, f);
}

#define STEP_SECTS	128
#define NR_STEPS	16

struct learn_case {
	const char		*desc;
	unsigned int		max_sectors;
	sector_t		fail_first;	/* of each step */
	blk_status_t		status;
	unsigned int		outs;
	unsigned int		offloaded;	/* sectors */
};

static const struct learn_case learn_cases[] = {
	{ "refused", STEP_SECTS, 0, BLK_STS_NOTSUPP, 3, 0 },
	{ "failed", STEP_SECTS, 0, BLK_STS_MEDIUM, 3, 0 },
	{ "failed in part", STEP_SECTS / 2, STEP_SECTS / 2, BLK_STS_IOERR,
	  2 * 3, 3 * STEP_SECTS / 2 },
	{ "refused in part", STEP_SECTS / 2, STEP_SECTS / 2, BLK_STS_NOTSUPP,
	  2 * NR_STEPS, NR_STEPS * STEP_SECTS / 2 },
	{ "timed out", STEP_SECTS, 0, BLK_STS_TIMEOUT, 1, 0 },
	{ "path lost", STEP_SECTS, 0, BLK_STS_TRANSPORT, 1, 0 },
};

KUNIT_ARRAY_PARAM_DESC(learn, learn_cases, desc);

static void fail_part_of_steps(struct fake_cmd *cmd, const void *arg)
{
	const struct learn_case *l = arg;
	u32 first = bio_copy_offset(cmd->bio) >> SECTOR_SHIFT;

	if (cmd->op == FAKE_OUT && l->fail_first == first % STEP_SECTS)
		cmd->status = l->status;
}

/* How often is a device asked that will not do it? */
static void call_learns(struct kunit *test)
{
	const struct learn_case *l = test->param_value;
	struct fake_disk *f = new_disk(test, SZ_4M, l->max_sectors);
	struct span s = { .sects = NR_STEPS * STEP_SECTS, .nr_segs = 1,
			  .dst = NR_STEPS * STEP_SECTS + 1 };
	bool error = l->status != BLK_STS_NOTSUPP;
	struct test_copy *c = new_copy(test, f, s, 0);

	/* One step after the other, as a chunk of a long copy makes them */
	c->copy.hint.step_bytes = STEP_SECTS << SECTOR_SHIFT;
	f->judge = fail_part_of_steps;
	f->judge_arg = l;
	want_copy(c, c->bytes);
	issue(c);
	expect_good(test, c);
	KUNIT_EXPECT_EQ(test, f->count[FAKE_OUT].seen, l->outs);
	KUNIT_EXPECT_EQ(test, c->offloaded, (u64)l->offloaded << SECTOR_SHIFT);
	KUNIT_EXPECT_EQ(test, fake_stat(f, BLK_COPY_STAT_ERROR_FALLBACKS),
			error ? min(l->outs, 3) : 0);
	expect_data(test, f);
}

/* A piece that is stale is filled and sent once more. */
static void stale_is_retried(struct kunit *test)
{
	struct fake_disk *f = new_disk(test, SZ_2M, 64);
	struct span s = { .sects = 128, .nr_segs = 1, .dst = 2001 };
	struct test_copy *c = new_copy(test, f, s, 0);

	f->stale = FAKE_RULE(BIT(FAKE_OUT), s.dst, s.dst, NO_STATUS);
	want_copy(c, c->bytes);
	issue(c);
	expect_good(test, c);
	KUNIT_EXPECT_EQ(test, f->count[FAKE_OUT].seen, 4);
	KUNIT_EXPECT_EQ(test, c->emulated, 64 * SECTOR_SIZE);
	KUNIT_EXPECT_EQ(test, fake_stat(f, BLK_COPY_STAT_STALE), 2);
	KUNIT_EXPECT_EQ(test, fake_stat(f, BLK_COPY_STAT_ERROR_FALLBACKS), 0);
	expect_data(test, f);
}

/* Another piece has failed: that is not hidden by an attempt that succeeds. */
static void error_beside_stale(struct kunit *test)
{
	struct fake_disk *f = new_disk(test, SZ_2M, 64);
	struct span s = { .sects = 128, .nr_segs = 1, .dst = 2001 };
	struct test_copy *c = new_copy(test, f, s, BLK_COPY_NO_EMULATION);

	f->stale = FAKE_RULE(BIT(FAKE_OUT), s.dst, s.dst, NO_STATUS);
	fake_fail(f, FAKE_RULE(BIT(FAKE_OUT), s.dst + 64, s.dst + 64,
			       BLK_STS_TIMEOUT));
	issue(c);
	assert_event(test, ended(c));
	KUNIT_EXPECT_EQ(test, c->wrong, 0);
	KUNIT_EXPECT_NE(test, c->error, -EAGAIN);
	KUNIT_EXPECT_NE(test, c->error, -EOPNOTSUPP);
	KUNIT_EXPECT_NE(test, c->error, 0);
	KUNIT_EXPECT_EQ(test, c->done, 0);
	KUNIT_EXPECT_EQ(test, f->count[FAKE_OUT].seen, 2);
	KUNIT_EXPECT_EQ(test, fake_stat(f, BLK_COPY_STAT_STALE), 1);
	KUNIT_EXPECT_EQ(test, fake_stat(f, BLK_COPY_STAT_ERROR_FALLBACKS), 1);
	expect_data(test, f);
}

static void refuse_out(struct fake_cmd *cmd, const void *arg)
{
	const sector_t *sector = arg;

	if (cmd->op == FAKE_OUT && cmd->bio->bi_iter.bi_sector == *sector)
		cmd->status = BLK_STS_NOTSUPP;
}

/* The last piece was refused, and its status is the one that arrives. */
static void error_beside_refusal(struct kunit *test)
{
	struct fake_disk *f = new_disk(test, SZ_2M, 64);
	struct span s = { .sects = 128, .nr_segs = 1, .dst = 2001 };
	struct test_copy *c = new_copy(test, f, s, BLK_COPY_NO_EMULATION);
	const sector_t last = s.dst + 64;

	f->judge_arg = &last;
	f->judge = refuse_out;
	fake_fail(f, FAKE_RULE(BIT(FAKE_OUT), s.dst, s.dst, BLK_STS_MEDIUM));
	issue(c);
	assert_event(test, ended(c));
	KUNIT_EXPECT_EQ(test, c->wrong, 0);
	/* What it was is not known any more. */
	KUNIT_EXPECT_EQ(test, c->error, -EIO);
	KUNIT_EXPECT_EQ(test, c->done, 0);
	KUNIT_EXPECT_EQ(test, f->count[FAKE_OUT].seen, 2);
	KUNIT_EXPECT_EQ(test, fake_stat(f, BLK_COPY_STAT_ERROR_FALLBACKS), 1);
	expect_data(test, f);
}

/* ------------------------------------------------- copies that are stopped */

/* Behind what could not be read nothing is written, before it all is. */
static void stops_behind_error(struct kunit *test)
{
	struct fake_disk *f = new_disk(test, 2 * NR_UNITS * BLK_COPY_UNIT_BYTES,
				       ANY_SECTORS);
	struct span s = { .sects = NR_UNITS * UNIT_SECTS, .nr_segs = 1,
			  .dst = NR_UNITS * UNIT_SECTS };
	const struct fake_rule rule = FAKE_RULE(BIT(FAKE_READ), 2 * UNIT_SECTS,
						2 * UNIT_SECTS, BLK_STS_MEDIUM);
	struct test_copy *c;

	new_set(test, 1, NR_UNITS);
	c = new_copy(test, f, s, BLK_COPY_NO_OFFLOAD);
	want_copy(c, 2 * BLK_COPY_UNIT_BYTES);
	fake_hold(f, FAKE_ALL(BIT(FAKE_READ), NO_STATUS));
	fake_fail(f, rule);
	issue(c);
	assert_event(test, fake_now(f, FAKE_READ) == NR_UNITS);
	fake_release(f, rule);
	assert_event(test, fake_now(f, FAKE_READ) == NR_UNITS - 1);
	fake_release_all(f);
	expect_end(test, c, -ENODATA, 2 * BLK_COPY_UNIT_BYTES);
	KUNIT_EXPECT_EQ(test, f->count[FAKE_WRITE].seen, 2);
	expect_data(test, f);
}

/* What was read before a fatal signal is not written after it, nor sent. */
static void stops_when_killed(struct kunit *test)
{
	const struct async_mode *m = test->param_value;
	bool emulate = m->flags & BLK_COPY_NO_OFFLOAD;
	enum fake_op op = emulate ? FAKE_READ : FAKE_IN;
	struct fake_disk *f = new_disk(test, SZ_2M, ANY_SECTORS);
	struct span s = { .sects = 64, .nr_segs = 1, .dst = 2001 };
	struct test_copy *c = new_copy(test, f, s, m->flags);

	f->later = m->later;
	fake_hold(f, FAKE_ALL(BIT(op), NO_STATUS));
	issue(c);
	assert_event(test, fake_now(f, op) == 1);
	WRITE_ONCE(c->copy.killed, true);
	fake_release_all(f);
	expect_end(test, c, -EINTR, 0);
	KUNIT_EXPECT_EQ(test, c->segs_good, 0);
	KUNIT_EXPECT_EQ(test, f->count[op].seen, 1);
	KUNIT_EXPECT_EQ(test, f->count[FAKE_OUT].seen, 0);
	KUNIT_EXPECT_EQ(test, f->count[FAKE_WRITE].seen, 0);
	expect_data(test, f);
}

/* The disk is formatted under a copy: its end would not hit whole blocks. */
static void stops_when_blocks_grow(struct kunit *test)
{
	struct fake_disk *f = new_disk(test, SZ_2M, 0);
	struct queue_limits *lim = &f->disk->queue->limits;
	struct span s = { .sects = 8, .nr_segs = 1, .dst = 2001 };
	struct test_copy *c = new_copy(test, f, s, 0);

	fake_hold(f, FAKE_ALL(BIT(FAKE_READ), NO_STATUS));
	issue(c);
	assert_event(test, fake_now(f, FAKE_READ) == 1);
	lim->logical_block_size = SZ_4K;
	fake_release_all(f);
	assert_event(test, ended(c));
	lim->logical_block_size = SECTOR_SIZE;
	expect_end(test, c, -EINVAL, 0);
	KUNIT_EXPECT_EQ(test, f->count[FAKE_WRITE].seen, 0);
	expect_data(test, f);
}

/* ---------------------------------------------------- more than fit a token */

#define NR_TINY		1000
#define TINY_OUTS	DIV_ROUND_UP(NR_TINY, BLK_COPY_TOKEN_ENTRIES)

static struct test_copy *tiny_segments(struct kunit *test, unsigned int flags)
{
	struct fake_disk *f = new_disk(test, SZ_2M, ANY_SECTORS);
	struct span s = { .src = 3, .stride = 2, .sects = 1, .nr_segs = NR_TINY,
			  .dst = 2500 };
	struct test_copy *c = new_copy(test, f, s, flags);

	want_copy(c, c->bytes);
	return c;
}

static void expect_tiny(struct kunit *test, struct test_copy *c)
{
	struct fake_disk *f = c->f;

	expect_good(test, c);
	KUNIT_EXPECT_EQ(test, c->offloaded, c->bytes);
	KUNIT_EXPECT_LE(test, f->count[FAKE_OUT].seen, TINY_OUTS);
	KUNIT_EXPECT_EQ(test, f->count[FAKE_IN].seen, NR_TINY);
	KUNIT_EXPECT_EQ(test, fake_stat(f, BLK_COPY_STAT_OVERFLOW), 0);
	expect_data(test, f);
}

static void tiny_offload(struct kunit *test)
{
	struct test_copy *c = tiny_segments(test, 0);

	issue(c);
	expect_tiny(test, c);
}

static void tiny_offload_later(struct kunit *test)
{
	struct test_copy *c = tiny_segments(test, BLK_COPY_NO_EMULATION);

	c->f->later = true;
	issue(c);
	expect_tiny(test, c);
}

/* Steps are told as they end, while the chunk is at the next. */
static void tiny_early(struct kunit *test)
{
	struct test_copy *c = tiny_segments(test, 0);
	const sector_t second = c->dst + BLK_COPY_TOKEN_ENTRIES;

	fake_hold(c->f, FAKE_RULE(BIT(FAKE_OUT), second, second, NO_STATUS));
	issue(c);
	assert_event(test, READ_ONCE(c->segs_ended) ==
				   BLK_COPY_TOKEN_ENTRIES);
	assert_event(test, fake_now(c->f, FAKE_OUT) == 1);
	KUNIT_EXPECT_FALSE(test, ended(c));
	fake_release_all(c->f);
	expect_tiny(test, c);
}

static void tiny_emulated(struct kunit *test)
{
	struct test_copy *c = tiny_segments(test, BLK_COPY_NO_OFFLOAD);

	c->f->later = true;
	issue(c);
	expect_good(test, c);
	KUNIT_EXPECT_EQ(test, c->emulated, c->bytes);
	KUNIT_EXPECT_EQ(test, c->f->count[FAKE_READ].seen, NR_TINY);
	expect_data(test, c->f);
}

/* ------------------------------------------------------------------- chains */

#define NR_LINKS	1000

static void chain_ended(struct blk_copy *copy);

static void chain_next(struct test_copy *c)
{
	unsigned int flags = c->copy.flags;

	/* The source of the next one is what this one wrote. */
	c->segs[0].sector = c->dst;
	c->dst += c->segs[0].nr_sects;
	init_copy(c, flags);
	c->copy.seg_end_io = NULL;
	c->copy.end_io = chain_ended;
	blkdev_issue_copy_async(&c->copy);
}

static void chain_ended(struct blk_copy *copy)
{
	struct test_copy *c = copy->private;
	unsigned long left = current_stack_pointer -
		(unsigned long)task_stack_page(current);

	c->stack = min(c->stack, left);
	c->error = c->error ?: copy->error;
	c->done += copy->bytes_done;
	c->wrong |= check_context(c);
	if (c->links && !c->error) {
		c->links--;
		chain_next(c);
		return;
	}
	/* Pairs with ended(). */
	smp_store_release(&c->ended, 1);
	test_put(c->t);
}

/* The end of each copy issues the next; all of them hand on the same sector. */
static void chain(struct kunit *test)
{
	const struct async_mode *m = test->param_value;
	struct fake_disk *f = new_disk(test, SZ_2M, ANY_SECTORS);
	struct span s = { .src = 5, .sects = 1, .nr_segs = 1, .dst = 17 };
	struct test_copy *c = new_copy(test, f, s, m->flags);
	unsigned int i;

	f->later = m->later;
	c->links = m->later ? 5 : NR_LINKS;
	if (m->flags & BLK_COPY_NO_OFFLOAD)
		c->links = min(c->links, NR_LINKS / 5);
	c->stack = THREAD_SIZE;
	c->copy.seg_end_io = NULL;
	c->copy.end_io = chain_ended;
	for (i = 0; i <= c->links; i++)
		memcpy(f->want + (17 + i) * SECTOR_SIZE,
		       f->want + 5 * SECTOR_SIZE, SECTOR_SIZE);
	test_get(c->t);
	blkdev_issue_copy_async(&c->copy);
	assert_event(test, ended(c));
	KUNIT_EXPECT_EQ(test, c->links, 0);
	KUNIT_EXPECT_EQ(test, c->error, 0);
	KUNIT_EXPECT_EQ(test, c->wrong, 0);
	KUNIT_EXPECT_EQ(test, c->done, i * SECTOR_SIZE);
	KUNIT_EXPECT_GT(test, c->stack, THREAD_SIZE / 2);
	expect_data(test, f);
}

/* ------------------------------------------------------------- private sets */

/* More copies at once than the set has chunks and units */
static void set_of_one(struct kunit *test)
{
	const struct async_mode *m = test->param_value;
	struct fake_disk *f = new_disk(test, SZ_4M, ANY_SECTORS);
	struct span s = { .stride = 64, .sects = 64, .nr_segs = 30 };
	struct test_copy *c[3];
	unsigned int i;

	f->later = m->later;
	new_set(test, 1, 1);
	for (i = 0; i < ARRAY_SIZE(c); i++) {
		s.src = i * 11;
		s.dst = 2000 + i * 1923;
		c[i] = new_copy(test, f, s, m->flags);
		want_copy(c[i], c[i]->bytes);
	}
	for (i = 0; i < ARRAY_SIZE(c); i++)
		issue(c[i]);
	for (i = 0; i < ARRAY_SIZE(c); i++) {
		expect_good(test, c[i]);
		expect_how(test, c[i]);
	}
	expect_data(test, f);
}

/* The same with no more than the set has, as when all that may be is made */
static void set_of_one_and_none(struct kunit *test)
{
	struct async_test *t = test->priv;
	struct fake_disk *f = new_disk(test, SZ_4M, 0);
	struct span s = { .stride = 64, .sects = 64, .nr_segs = 30 };
	struct test_copy *c[3];
	unsigned int i;

	f->later = true;
	new_set(test, 1, 1);
	KUNIT_EXPECT_GT(test, t->set.chunk_pool.max_extra, 1000);
	KUNIT_EXPECT_GT(test, t->set.unit_pool.max_extra, 10);
	t->set.chunk_pool.max_extra = 1;
	t->set.unit_pool.max_extra = 1;
	for (i = 0; i < ARRAY_SIZE(c); i++) {
		s.dst = 2000 + i * 1923;
		c[i] = new_copy(test, f, s, 0);
		want_copy(c[i], c[i]->bytes);
	}
	for (i = 0; i < ARRAY_SIZE(c); i++)
		issue(c[i]);
	for (i = 0; i < ARRAY_SIZE(c); i++)
		expect_good(test, c[i]);
	/* Each unit is one write. */
	KUNIT_EXPECT_LE(test, f->count[FAKE_WRITE].max, 2);
	KUNIT_EXPECT_GT(test, f->count[FAKE_WRITE].max, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&t->set.chunk_pool.nr_extra), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&t->set.unit_pool.nr_extra), 0);
	expect_data(test, f);
}

#define HUGE_SECTS	(SZ_512K >> SECTOR_SHIFT)
#define HUGE_SEGS	34

/* The first has chunks enough for a while, and the disk never makes it wait. */
static void huge_and_small(struct kunit *test, unsigned int flags)
{
	struct fake_disk *f = new_disk(test, (HUGE_SEGS + 3) * SZ_512K,
				       ANY_SECTORS);
	struct span s = { .sects = HUGE_SECTS, .nr_segs = HUGE_SEGS,
			  .dst = 2 * HUGE_SECTS };
	struct span s2 = { .src = HUGE_SECTS, .stride = 3, .sects = 2,
			   .nr_segs = 9, .dst = (HUGE_SEGS + 2) * HUGE_SECTS + 1 };
	struct test_copy *huge, *small;

	new_set(test, 1, 1);
	huge = new_copy(test, f, s, flags);
	small = new_copy(test, f, s2, flags);
	want_copy(huge, huge->bytes);
	want_copy(small, small->bytes);
	issue(huge);
	issue(small);
	expect_good(test, small);
	expect_good(test, huge);
	expect_data(test, f);
}

static void set_of_one_huge(struct kunit *test)
{
	huge_and_small(test, 0);
}

static void set_of_one_huge_emulated(struct kunit *test)
{
	huge_and_small(test, BLK_COPY_NO_OFFLOAD);
}

/* While there is memory a device that hangs stops only its own copy. */
static void set_of_one_hangs(struct kunit *test)
{
	const struct async_mode *m = test->param_value;
	struct fake_disk *f = new_disk(test, SZ_2M, ANY_SECTORS);
	struct fake_disk *bad = new_disk(test, SZ_2M, ANY_SECTORS);
	struct span s = { .stride = 64, .sects = 64, .nr_segs = 16,
			  .dst = 2001 };
	struct test_copy *c, *hangs;

	f->later = m->later;
	new_set(test, 1, 1);
	fake_hold(bad, FAKE_ALL(BIT(FAKE_OUT) | BIT(FAKE_WRITE), NO_STATUS));
	hangs = new_copy(test, bad, s, m->flags);
	c = new_copy(test, f, s, m->flags);
	want_copy(hangs, hangs->bytes);
	want_copy(c, c->bytes);
	issue(hangs);
	assert_event(test, fake_now(bad, FAKE_OUT) +
				   fake_now(bad, FAKE_WRITE));
	issue(c);
	expect_good(test, c);
	KUNIT_EXPECT_FALSE(test, ended(hangs));
	fake_release_all(bad);
	expect_good(test, hangs);
	expect_data(test, f);
	expect_data(test, bad);
}

struct pool_case {
	const char	*desc;
	bool		of_caller;
};

static const struct pool_case pool_cases[] = {
	{ "of the set" },
	{ "of the caller", .of_caller = true },
};

KUNIT_ARRAY_PARAM_DESC(pool, pool_cases, desc);

static void *alloc_compound(gfp_t gfp, void *order)
{
	return alloc_pages(gfp | __GFP_COMP, (unsigned long)order);
}

/* The reserve's pages are compound, and a caller's pool outlives the set. */
static void set_reserve(struct kunit *test)
{
	const struct pool_case *p = test->param_value;
	void *order = (void *)(long)BLK_COPY_RESERVE_ORDER;
	struct fake_disk *f = new_disk(test, SZ_2M, 0);
	struct async_test *t = test->priv;
	struct blk_copy_set *set = &t->set;
	mempool_t *pool = NULL;
	struct test_copy *c;

	if (p->of_caller) {
		pool = mempool_create(1, alloc_compound, mempool_free_pages,
				      order);
		KUNIT_ASSERT_NOT_NULL(test, pool);
	}
	KUNIT_ASSERT_EQ(test, blk_copy_set_init(set, "kunit", 1, 2, pool), 0);
	t->has_set = true;
	KUNIT_EXPECT_PTR_EQ(test, set->bufs, pool ?: &set->own_bufs);
	KUNIT_EXPECT_EQ(test, set->own_bufs.min_nr,
			pool ? 0 : BLK_COPY_RESERVE_BUFS);
	KUNIT_EXPECT_EQ(test, compound_order(set->bufs->elements[0]),
			BLK_COPY_RESERVE_ORDER);

	c = new_copy(test, f, (struct span) {
		.sects = 1500, .nr_segs = 1, .dst = 2001 }, 0);
	want_copy(c, c->bytes);
	issue(c);
	expect_good(test, c);
	expect_data(test, f);

	blk_copy_set_exit(set);
	t->has_set = false;
	if (pool) {
		KUNIT_EXPECT_EQ(test, pool->curr_nr, 1);
		mempool_destroy(pool);
	}
}

/* Nobody but the test runs these: who gets the only chunk, and when? */
static void init_waiter(struct blk_copy *copy, struct blk_copy_set *set)
{
	memset(copy, 0, sizeof(*copy));
	copy->set = set;
	copy->task = current;
	INIT_LIST_HEAD(&copy->wait_entry);
}

static void give_back(struct blk_copy_set *set, struct list_head *entry)
{
	spin_lock_irq(&set->lock);
	list_add(entry, &set->chunk_pool.free);
	blk_copy_pool_wake(set, &set->chunk_pool);
	spin_unlock_irq(&set->lock);
}

static void set_turns(struct kunit *test)
{
	struct async_test *t = test->priv;
	struct blk_copy_pool *pool = &t->set.chunk_pool;
	struct blk_copy *c = test_alloc(t, 3 * sizeof(*c));
	struct list_head *chunk;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, c);
	new_set(test, 1, 1);
	for (i = 0; i < 3; i++)
		init_waiter(&c[i], &t->set);
	chunk = blk_copy_pool_take(&c[0], pool);
	KUNIT_ASSERT_NOT_NULL(test, chunk);
	KUNIT_EXPECT_NULL(test, blk_copy_pool_take(&c[1], pool));
	blk_copy_pool_wait(&c[1], pool);
	KUNIT_EXPECT_NULL(test, blk_copy_pool_take(&c[2], pool));
	blk_copy_pool_wait(&c[2], pool);

	/* Who waits longest is woken, and nobody gets in before. */
	give_back(&t->set, chunk);
	KUNIT_EXPECT_EQ(test, atomic_read(&c[1].events), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&c[2].events), 0);
	KUNIT_EXPECT_NULL(test, blk_copy_pool_take(&c[0], pool));
	KUNIT_EXPECT_NULL(test, blk_copy_pool_take(&c[2], pool));
	KUNIT_EXPECT_PTR_EQ(test, blk_copy_pool_take(&c[1], pool), chunk);

	/* Who is woken and then over passes it on. */
	blk_copy_pool_wait(&c[0], pool);
	give_back(&t->set, chunk);
	KUNIT_EXPECT_EQ(test, atomic_read(&c[2].events), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&c[0].events), 0);
	blk_copy_pool_leave(&c[2], &t->set.unit_pool);
	KUNIT_EXPECT_EQ(test, atomic_read(&c[0].events), 0);
	blk_copy_pool_leave(&c[2], pool);
	KUNIT_EXPECT_EQ(test, atomic_read(&c[0].events), 1);
	KUNIT_EXPECT_NULL(test, blk_copy_pool_take(&c[1], pool));
	KUNIT_EXPECT_PTR_EQ(test, blk_copy_pool_take(&c[0], pool), chunk);

	/* With nobody left to wait for it is there for all. */
	blk_copy_pool_wait(&c[1], pool);
	give_back(&t->set, chunk);
	blk_copy_pool_leave(&c[1], pool);
	KUNIT_EXPECT_PTR_EQ(test, blk_copy_pool_take(&c[2], pool), chunk);
	give_back(&t->set, chunk);
	KUNIT_EXPECT_EQ(test, pool->nr_woken, 0);

	/* Who has got it before it was woken is not woken any more. */
	chunk = blk_copy_pool_take(&c[0], pool);
	KUNIT_ASSERT_NOT_NULL(test, chunk);
	blk_copy_pool_wait(&c[1], pool);
	blk_copy_pool_leave(&c[1], pool);
	atomic_set(&c[1].events, 0);
	give_back(&t->set, chunk);
	KUNIT_EXPECT_EQ(test, atomic_read(&c[1].events), 0);
	KUNIT_EXPECT_EQ(test, pool->nr_woken, 0);
	KUNIT_EXPECT_TRUE(test, list_empty(&pool->waiters));
}

/* Who waits for a chunk lets the owner of one have a unit: else both wait. */
static void set_turn_of_owner(struct kunit *test)
{
	struct async_test *t = test->priv;
	struct blk_copy *c = test_alloc(t, 2 * sizeof(*c));
	struct list_head *chunk, *unit;

	KUNIT_ASSERT_NOT_NULL(test, c);
	new_set(test, 1, 1);
	init_waiter(&c[0], &t->set);
	init_waiter(&c[1], &t->set);
	chunk = blk_copy_pool_take(&c[0], &t->set.chunk_pool);
	KUNIT_ASSERT_NOT_NULL(test, chunk);
	blk_copy_pool_wait(&c[1], &t->set.chunk_pool);
	unit = blk_copy_pool_take(&c[0], &t->set.unit_pool);
	KUNIT_EXPECT_NOT_NULL(test, unit);
	/* The set frees the buffers of the units that it has. */
	if (unit)
		list_add(unit, &t->set.unit_pool.free);
}

/* ------------------------------------------ copies from within ->submit_bio */

/*
 * A disk on top of a fake disk that saves what a write is about to replace: it
 * has the lower disk copy it COW_OFFSET further, and then lets the write pass.
 */
#define COW_OFFSET	2048
#define COW_SEGS	4

struct cow_disk {
	struct async_test	*t;
	struct fake_disk	*lower;
	unsigned int		flags;
	unsigned int		copies;
	atomic_t		errors;
};

struct cow_copy {
	struct blk_copy		copy;
	struct blk_copy_segment	segs[COW_SEGS];
	struct cow_disk		*cow;
	struct bio		*bio;
};

static void cow_copied(struct blk_copy *copy)
{
	struct cow_copy *c = container_of(copy, struct cow_copy, copy);
	struct async_test *t = c->cow->t;

	if (copy->error)
		atomic_inc(&c->cow->errors);
	submit_bio_noacct(c->bio);
	kfree(c);
	test_put(t);
}

static void cow_save(struct cow_disk *cow, struct bio *bio)
{
	struct cow_copy *c = kzalloc(sizeof(*c), GFP_NOIO | __GFP_NOFAIL);
	unsigned int i, sects = bio_sectors(bio) / COW_SEGS;

	for (i = 0; i < COW_SEGS; i++) {
		c->segs[i].sector = bio->bi_iter.bi_sector + i * sects;
		c->segs[i].nr_sects = sects;
	}
	c->cow = cow;
	c->bio = bio;
	c->copy.src = cow->lower->bdev;
	c->copy.dst = cow->lower->bdev;
	c->copy.segs = c->segs;
	c->copy.nr_segs = COW_SEGS;
	c->copy.dst_sector = bio->bi_iter.bi_sector + COW_OFFSET;
	c->copy.flags = cow->flags;
	c->copy.set = &cow->t->set;
	c->copy.end_io = cow_copied;
	cow->copies++;
	test_get(cow->t);
	blkdev_issue_copy_async(&c->copy);
}

static void cow_submit_bio(struct bio *bio)
{
	struct cow_disk *cow = bio->bi_bdev->bd_disk->private_data;

	bio_set_dev(bio, cow->lower->bdev);
	if (bio_op(bio) == REQ_OP_WRITE)
		cow_save(cow, bio);
	else
		submit_bio_noacct(bio);
}

static const struct block_device_operations cow_fops = {
	.owner		= THIS_MODULE,
	.submit_bio	= cow_submit_bio,
};

static struct cow_disk *new_cow(struct kunit *test)
{
	const struct async_mode *m = test->param_value;
	struct cow_disk *cow = test_alloc(test->priv, sizeof(*cow));
	struct queue_limits lim = {
		.max_hw_sectors		= UINT_MAX >> SECTOR_SHIFT,
		.max_segments		= USHRT_MAX,
		.max_segment_size	= UINT_MAX,
	};

	KUNIT_ASSERT_NOT_NULL(test, cow);
	new_set(test, 1, 1);
	cow->t = test->priv;
	cow->flags = m->flags;
	cow->lower = new_disk(test, SZ_4M, ANY_SECTORS);
	cow->lower->later = m->later;
	cow->t->upper = fake_alloc_disk(&lim, &cow_fops, cow,
					COW_OFFSET << SECTOR_SHIFT);
	KUNIT_ASSERT_NOT_NULL(test, cow->t->upper);
	return cow;
}

static void cow_want(struct cow_disk *cow, sector_t sector, unsigned int sects)
{
	u8 *want = cow->lower->want + (sector << SECTOR_SHIFT);

	memcpy(want + COW_OFFSET * SECTOR_SIZE, want, sects << SECTOR_SHIFT);
}

#define COW_WRITES	16

static void cow_end_io(struct bio *bio)
{
	struct cow_disk *cow = bio->bi_private;

	if (bio->bi_status)
		atomic_inc(&cow->errors);
	bio_put(bio);
	test_put(cow->t);
}

static void cow_write(struct cow_disk *cow, struct page *page, sector_t sector)
{
	struct bio *bio = bio_alloc(cow->t->upper->part0, 1, REQ_OP_WRITE,
				    GFP_KERNEL);

	bio->bi_iter.bi_sector = sector;
	bio->bi_private = cow;
	bio->bi_end_io = cow_end_io;
	__bio_add_page(bio, page, PAGE_SIZE, 0);
	test_get(cow->t);
	submit_bio(bio);
}

/* Writes to the upper disk, all at once; each is a copy of the lower one. */
static void cow_writes(struct kunit *test)
{
	struct cow_disk *cow = new_cow(test);
	struct page *page = alloc_page(GFP_KERNEL);
	struct async_test *t = test->priv;
	sector_t sector = 24;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, page);
	memset(page_address(page), 0xa5, PAGE_SIZE);
	for (i = 0; i < COW_WRITES; i++, sector += PAGE_SECTORS + 1) {
		cow_want(cow, sector, PAGE_SECTORS);
		memset(cow->lower->want + (sector << SECTOR_SHIFT), 0xa5,
		       PAGE_SIZE);
		cow_write(cow, page, sector);
	}
	assert_event(test, test_idle(t));
	put_page(page);
	KUNIT_EXPECT_EQ(test, cow->copies, COW_WRITES);
	KUNIT_EXPECT_EQ(test, atomic_read(&cow->errors), 0);
	expect_data(test, cow->lower);
}

/* An emulated copy to the upper disk: each of its writes is a copy as well. */
static void cow_copy(struct kunit *test)
{
	struct cow_disk *cow = new_cow(test);
	struct blk_copy_segment seg = { .sector = 0, .nr_sects = 512 };
	struct blk_copy copy = {
		.src = cow->t->upper->part0, .dst = cow->t->upper->part0,
		.segs = &seg, .nr_segs = 1, .dst_sector = 1000,
	};
	u8 *want = cow->lower->want;

	cow_want(cow, 1000, 512);
	memcpy(want + 1000 * SECTOR_SIZE, want, 512 * SECTOR_SIZE);
	KUNIT_EXPECT_EQ(test, blkdev_issue_copy(&copy), 0);
	KUNIT_EXPECT_EQ(test, copy.bytes_emulated, 512 * SECTOR_SIZE);
	KUNIT_EXPECT_NE(test, cow->copies, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&cow->errors), 0);
	expect_data(test, cow->lower);
}

/* -------------------------------------------------------------------- suite */

static int async_test_init(struct kunit *test)
{
	struct async_test *t = kzalloc(sizeof(*t), GFP_KERNEL);
	static u64 seed;

	if (!t)
		return -ENOMEM;
	INIT_LIST_HEAD(&t->allocs);
	prandom_seed_state(&t->rnd, ++seed);
	test->priv = t;
	return 0;
}

static void async_test_free(struct async_test *t)
{
	struct test_mem *mem, *next;
	unsigned int i;

	if (t->has_set)
		blk_copy_set_exit(&t->set);
	fake_free_disk(t->upper);
	for (i = 0; i < t->nr_disks; i++)
		list_add(&t->disk[i]->entry, &idle_disks);
	list_for_each_entry_safe(mem, next, &t->allocs, entry)
		kvfree(mem);
	kfree(t);
}

/* Also after a failure nothing goes before the copies that use it. */
static void async_test_exit(struct kunit *test)
{
	struct async_test *t = test->priv;
	unsigned int i;

	if (!t)
		return;
	for (i = 0; i < t->nr_disks; i++)
		fake_release_all(t->disk[i]);
	if (WAIT(test_idle(t)))
		async_test_free(t);
	else
		KUNIT_FAIL(test, "%u copies do not end", t->running);
}

static void async_test_suite_exit(struct kunit_suite *suite)
{
	struct fake_disk *f, *next;

	list_for_each_entry_safe(f, next, &idle_disks, entry)
		fake_free(f);
	INIT_LIST_HEAD(&idle_disks);
}

static struct kunit_case async_test_cases[] = {
	KUNIT_CASE_PARAM(async_in_flight, mode_gen_params),
	KUNIT_CASE_PARAM(async_end_is_last, mode_gen_params),
	KUNIT_CASE(async_invalid),
	KUNIT_CASE_PARAM(sync_many, mode_gen_params),
	KUNIT_CASE_PARAM(segs_in_order, mode_gen_params),
	KUNIT_CASE(segs_early_emulated),
	KUNIT_CASE(segs_early_then_error),
	KUNIT_CASE_PARAM(segs_with_error, error_gen_params),
	KUNIT_CASE_PARAM(segs_with_error_later, error_gen_params),
	KUNIT_CASE(units_are_bounded),
	KUNIT_CASE(error_is_emulated),
	KUNIT_CASE(lost_is_not_emulated),
	KUNIT_CASE(refused_is_emulated),
	KUNIT_CASE(forbidden_refused),
	KUNIT_CASE(forbidden_without_limit),
	KUNIT_CASE(overflow_is_emulated),
	KUNIT_CASE(forbidden_overflow),
	KUNIT_CASE(out_waits_for_all_ins),
	KUNIT_CASE(step_is_whole_blocks),
	KUNIT_CASE_PARAM(call_learns, learn_gen_params),
	KUNIT_CASE(stale_is_retried),
	KUNIT_CASE(error_beside_stale),
	KUNIT_CASE(error_beside_refusal),
	KUNIT_CASE(stops_behind_error),
	KUNIT_CASE_PARAM(stops_when_killed, mode_gen_params),
	KUNIT_CASE(stops_when_blocks_grow),
	KUNIT_CASE(tiny_offload),
	KUNIT_CASE(tiny_offload_later),
	KUNIT_CASE(tiny_early),
	KUNIT_CASE(tiny_emulated),
	KUNIT_CASE_PARAM(chain, mode_gen_params),
	KUNIT_CASE_PARAM(set_of_one, mode_gen_params),
	KUNIT_CASE(set_of_one_and_none),
	KUNIT_CASE(set_of_one_huge),
	KUNIT_CASE(set_of_one_huge_emulated),
	KUNIT_CASE_PARAM(set_of_one_hangs, mode_gen_params),
	KUNIT_CASE_PARAM(set_reserve, pool_gen_params),
	KUNIT_CASE(set_turns),
	KUNIT_CASE(set_turn_of_owner),
	KUNIT_CASE_PARAM(cow_writes, mode_gen_params),
	KUNIT_CASE_PARAM(cow_copy, mode_gen_params),
	{}
};

static struct kunit_suite async_test_suite = {
	.name		= "blk_copy_async",
	.init		= async_test_init,
	.exit		= async_test_exit,
	.suite_exit	= async_test_suite_exit,
	.test_cases	= async_test_cases,
};

kunit_test_suite(async_test_suite);

MODULE_DESCRIPTION("KUnit tests of asynchronous copies");
MODULE_LICENSE("GPL");
