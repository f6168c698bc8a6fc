// SPDX-License-Identifier: GPL-2.0
/*
 * null_blk as a copy leaf.
 *
 * A COPY_IN leaves a reference to the disk.  A COPY_OUT is a command that the
 * disk executes by copying between its own pages: any number of source ranges,
 * with the latency, the bandwidth, the bad blocks and the injected faults that
 * other commands of the disk get.
 */
#include <linux/blk-copy.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/sysfs.h>

#include "null_blk.h"

static unsigned int g_max_copy_bytes;
module_param_named(max_copy_bytes, g_max_copy_bytes, uint, 0444);
MODULE_PARM_DESC(max_copy_bytes, "Maximum size of a copy command in bytes (requires memory-backed null_blk device). Default: 0 (no copy offload)");

static unsigned int g_max_copy_segments = 128;
module_param_named(max_copy_segments, g_max_copy_segments, uint, 0444);
MODULE_PARM_DESC(max_copy_segments, "Maximum number of source ranges of a copy command. Default: 128");

static unsigned int g_max_copy_segment_bytes;
module_param_named(max_copy_segment_bytes, g_max_copy_segment_bytes, uint, 0444);
MODULE_PARM_DESC(max_copy_segment_bytes, "Maximum size of one source range of a copy command in bytes. Default: 0 (as max_copy_bytes)");

/* Identities given out; addresses come back, and a token may remember one */
static atomic64_t null_copy_ids;

static const struct blk_copy_leaf_ops null_copy_ops = {
	.name	= "null_blk",
};

static void *null_copy_leaf(struct nullb *nullb)
{
	return (void *)(uintptr_t)nullb->copy.id;
}

/* ---------------------------------------------------------- configuration */

/**
 * null_copy_init_dev - give a new device the module's parameters
 * @dev:	the device
 */
void null_copy_init_dev(struct nullb_device *dev)
{
	dev->max_copy_bytes = g_max_copy_bytes;
	dev->max_copy_segments = g_max_copy_segments;
	dev->max_copy_segment_bytes = g_max_copy_segment_bytes;
}

static int null_copy_ignore(struct nullb_device *dev, const char *why)
{
	dev->max_copy_bytes = 0;
	pr_info("max_copy_bytes option is ignored %s\n", why);
	return 0;
}

/**
 * null_copy_validate - check the parameters of a device that is switched on
 * @dev:	the device; its other parameters are valid
 *
 * Return: 0, with the parameters rounded to the block size, or -EINVAL.
 */
int null_copy_validate(struct nullb_device *dev)
{
	unsigned int bs = dev->blocksize;

	if (!dev->max_copy_bytes)
		return 0;
	if (!dev->memory_backed)
		return null_copy_ignore(dev, "without memory backing");
	if (dev->zoned)
		return null_copy_ignore(dev, "in zoned mode");
	/* Moving the data sleeps, and a shared tag set may not know that */
	if (dev->shared_tags)
		return null_copy_ignore(dev, "with shared tags");

	if (!dev->max_copy_segment_bytes)
		dev->max_copy_segment_bytes = dev->max_copy_bytes;
	if (dev->max_copy_bytes < bs || dev->max_copy_segment_bytes < bs) {
		pr_err("max_copy_bytes and max_copy_segment_bytes must be at least the block size\n");
		return -EINVAL;
	}
	if (!dev->max_copy_segments || dev->max_copy_segments > USHRT_MAX) {
		pr_err("max_copy_segments must be between 1 and %u\n",
		       USHRT_MAX);
		return -EINVAL;
	}
	dev->max_copy_bytes = round_down(dev->max_copy_bytes, bs);
	dev->max_copy_segment_bytes = round_down(dev->max_copy_segment_bytes,
						 bs);
	return 0;
}

/**
 * null_copy_config - set the copy limits of a disk
 * @nullb:	the disk, about to be created
 * @lim:	its limits
 * @max_bytes:	what its throttle lets pass at once, 0 = it has none; a larger
 *		command would be put back for ever
 */
void null_copy_config(struct nullb *nullb, struct queue_limits *lim,
		      u64 max_bytes)
{
	struct nullb_device *dev = nullb->dev;
	u64 bytes = min_not_zero((u64)dev->max_copy_bytes, max_bytes);

	nullb->copy.id = atomic64_inc_return(&null_copy_ids);
	if (!dev->max_copy_bytes)
		return;
	lim->copy.domain = blk_copy_domain("null_blk", &nullb->copy.id,
					   sizeof(nullb->copy.id));
	lim->copy.max_hw_sectors = bytes >> SECTOR_SHIFT;
	lim->copy.max_segment_sectors =
		dev->max_copy_segment_bytes >> SECTOR_SHIFT;
	lim->copy.max_segments = dev->max_copy_segments;
}

/* --------------------------------------------------------------- commands */

/**
 * null_copy_in - answer a COPY_IN by a reference to this disk
 * @bio:	the COPY_IN
 *
 * Bad blocks are left to COPY_OUT: a read that nobody makes does not fail.
 */
void null_copy_in(struct bio *bio)
{
	struct nullb *nullb = bio->bi_bdev->bd_disk->private_data;

	if (!nullb->dev->max_copy_bytes) {
		bio->bi_status = BLK_STS_NOTSUPP;
		bio_endio(bio);
		return;
	}
	blk_copy_in_end(bio, &null_copy_ops, null_copy_leaf(nullb),
			nullb->dev->max_copy_segment_bytes);
}

/**
 * __null_copy_start - a copy command enters the disk
 * @cmd:	the command, before its request is started
 *
 * What the references rely on stays busy until __null_copy_done(): for the whole
 * completion time of the disk, and until the timeout of a command that never
 * answers.  A command that cannot begin always answers.
 */
void __null_copy_start(struct nullb_cmd *cmd)
{
	struct request *rq = blk_mq_rq_from_pdu(cmd);
	struct nullb_device *dev = cmd->nq->dev;

	cmd->copy_hold = (struct blk_copy_hold) { };
	cmd->error = BLK_STS_NOTSUPP;
	if (dev->max_copy_bytes && rq->mq_hctx->type != HCTX_TYPE_POLL)
		cmd->error = blk_copy_out_begin(rq->bio, &null_copy_ops,
						null_copy_leaf(dev->nullb),
						dev->max_copy_segment_bytes,
						&cmd->copy_hold);
	if (cmd->error) {
		rq->rq_flags |= RQF_QUIET;
		cmd->fake_timeout = false;
	}
}

/**
 * __null_copy_done - a copy command leaves the disk
 * @cmd:	the command, its error set; its request has not ended
 *
 * Context: any.
 */
void __null_copy_done(struct nullb_cmd *cmd)
{
	enum blk_copy_outcome outcome = BLK_COPY_FAILED;

	if (cmd->error == BLK_STS_OK)
		outcome = BLK_COPY_DONE;
	else if (cmd->error == BLK_STS_NOTSUPP)
		outcome = BLK_COPY_REFUSED;
	blk_copy_out_end(blk_mq_rq_from_pdu(cmd)->bio, &cmd->copy_hold, outcome);
}

/*
 * A command that breaks the limits is a bug of those who cut it; say so.  Unless
 * the administrator forbade copies after it had passed the gate: then nobody cut.
 */
static blk_status_t null_copy_check(struct nullb_cmd *cmd, unsigned int sectors)
{
	struct nullb *nullb = cmd->nq->dev->nullb;
	const struct blk_copy_limits *lim = &nullb->q->limits.copy;

	if (!lim->max_sectors)
		return BLK_STS_NOTSUPP;
	if (sectors <= lim->max_hw_sectors &&
	    cmd->copy_hold.nr_ranges <= lim->max_segments)
		return BLK_STS_OK;
	pr_err_ratelimited("%s: refuse copy command of %u sectors in %u ranges: over the limits %u and %u\n",
			   nullb->disk_name, sectors, cmd->copy_hold.nr_ranges,
			   lim->max_hw_sectors, lim->max_segments);
	return BLK_STS_IOERR;
}

/* As a read does, fail before anything has moved. */
static blk_status_t null_copy_check_source(struct nullb_cmd *cmd,
					   struct blk_copy_range_iter iter)
{
	struct badblocks *bb = &cmd->nq->dev->badblocks;
	blk_copy_bad_sectors_t bad_sectors;
	sector_t first_bad;

	if (bb->shift == -1)
		return BLK_STS_OK;
	while (blk_copy_range_iter_next(&iter))
		if (badblocks_check(bb, iter.sector,
				    iter.bytes >> SECTOR_SHIFT, &first_bad,
				    &bad_sectors))
			return BLK_STS_IOERR;
	return BLK_STS_OK;
}

static blk_status_t null_copy_move(struct nullb_cmd *cmd, sector_t dst,
				   sector_t end,
				   struct blk_copy_range_iter iter)
{
	struct nullb *nullb = cmd->nq->dev->nullb;

	while (dst < end && blk_copy_range_iter_next(&iter)) {
		sector_t nr = min_t(sector_t, end - dst,
				    iter.bytes >> SECTOR_SHIFT);
		int err = null_copy_pages(nullb, dst, iter.sector,
					  nr << SECTOR_SHIFT);

		if (err)
			return errno_to_blk_status(err);
		dst += nr;
	}
	return BLK_STS_OK;
}

/**
 * null_handle_copy - execute a copy command
 * @cmd:	the command; the destination has been checked for bad blocks
 * @nr_sectors:	so many sectors come before the first bad block
 *
 * Context: may sleep.
 * Return: the status of the command as far as the source is concerned.
 */
blk_status_t null_handle_copy(struct nullb_cmd *cmd, unsigned int nr_sectors)
{
	struct nullb_device *dev = cmd->nq->dev;
	struct nullb_copy *copy = &dev->nullb->copy;
	struct request *rq = blk_mq_rq_from_pdu(cmd);
	struct blk_copy_range_iter iter;
	blk_status_t sts;

	if (!cmd->copy_hold.token)
		return BLK_STS_NOTSUPP;

	blk_copy_range_iter_init(&iter, rq->bio, &cmd->copy_hold,
				 dev->max_copy_segment_bytes);
	sts = null_copy_check(cmd, blk_rq_sectors(rq));
	if (sts == BLK_STS_OK)
		sts = null_copy_check_source(cmd, iter);
	if (sts == BLK_STS_OK)
		sts = null_copy_move(cmd, blk_rq_pos(rq),
				     blk_rq_pos(rq) + nr_sectors, iter);
	if (sts != BLK_STS_OK) {
		atomic64_inc(&copy->errors);
		return sts;
	}
	/* As if the bad block was the first: neither done nor an error of ours */
	if (nr_sectors < blk_rq_sectors(rq))
		return BLK_STS_OK;
	atomic64_inc(&copy->commands);
	atomic64_add(cmd->copy_hold.nr_ranges, &copy->ranges);
	atomic64_add(blk_rq_bytes(rq), &copy->bytes);
	return BLK_STS_OK;
}

/* ------------------------------------------- /sys/block/<disk>/null_blk/ */

static ssize_t null_copy_show(struct device *dev, struct device_attribute *attr,
			      char *buf)
{
	struct dev_ext_attribute *ea =
		container_of(attr, struct dev_ext_attribute, attr);
	struct nullb *nullb = dev_to_disk(dev)->private_data;
	atomic64_t *count = (void *)&nullb->copy + (uintptr_t)ea->var;

	return sysfs_emit(buf, "%lld\n", (long long)atomic64_read(count));
}

#define NULL_COPY_ATTR(_name) {						\
	.attr	= __ATTR(copy_##_name, 0444, null_copy_show, NULL),	\
	.var	= (void *)offsetof(struct nullb_copy, _name),		\
}

static struct dev_ext_attribute null_copy_counts[] = {
	NULL_COPY_ATTR(commands),
	NULL_COPY_ATTR(ranges),
	NULL_COPY_ATTR(bytes),
	NULL_COPY_ATTR(errors),
};

static struct attribute *null_copy_attrs[] = {
	&null_copy_counts[0].attr.attr,
	&null_copy_counts[1].attr.attr,
	&null_copy_counts[2].attr.attr,
	&null_copy_counts[3].attr.attr,
	NULL,
};

static const struct attribute_group null_copy_group = {
	.name	= "null_blk",
	.attrs	= null_copy_attrs,
};

const struct attribute_group *null_copy_groups[] = {
	&null_copy_group,
	NULL,
};
