// SPDX-License-Identifier: GPL-2.0
/*
 * NVM Express: copy offload by the Copy command.
 *
 * NVM Command Set Specification 1.2, section 3.3.2.  Here with descriptor format
 * 0h, by which source and destination are the same namespace; what other namespaces
 * need is in copy-across.c.  A namespace is known by its nvme_ns_head, so it does not
 * matter by which path either of them is reached.
 */
#include <linux/blk-copy.h>
#include <linux/blk-mq.h>
#include <linux/debugfs.h>
#include <linux/log2.h>
#include <linux/nvme-copy.h>
#include <linux/slab.h>
#include <linux/t10-pi.h>

#include "nvme.h"

/*
 * Bytes per second that the slowest device copies: this much time, beyond the
 * timeout of the queue, is given to a command for what it carries.
 */
#define NVME_COPY_MIN_RATE	(8U << 20)

/* Ranges for one command per controller, so that copies always progress */
struct nvme_copy_reserve {
	struct nvme_copy_range	ranges[NVME_COPY_MAX_RANGES];
	struct blk_copy_hold	hold;	/* see nvme_copy_hold() */
	unsigned long		busy;	/* bit 0: a command uses it */
};

static const struct blk_copy_leaf_ops nvme_copy_leaf_ops = {
	.name		= "nvme",
	.reachable	= nvme_copy_reachable,
};

static atomic_t nvme_copy_reserve_used;

/**
 * nvme_init_copy - see whether a controller can copy
 * @ctrl:	controller, its ONCS field already stored
 * @id:		what it says about itself
 *
 * Called after each reset, too; may sleep.
 */
void nvme_init_copy(struct nvme_ctrl *ctrl, const struct nvme_id_ctrl *id)
{
	ctrl->ocfs = le16_to_cpu(id->ocfs);
	ctrl->copy_formats = ctrl->ocfs & NVME_COPY_OCFS_FORMAT_0;
	if ((ctrl->oncs & NVME_CTRL_ONCS_COPY) && !ctrl->copy_reserve)
		ctrl->copy_reserve = kzalloc_obj(*ctrl->copy_reserve,
						 GFP_KERNEL);
}

/**
 * nvme_free_copy - release what nvme_init_copy() allocated
 * @ctrl:	controller that is about to be freed
 */
void nvme_free_copy(struct nvme_ctrl *ctrl)
{
	kfree(ctrl->copy_reserve);
}

/**
 * nvme_copy_domain - name the copy domain of a namespace
 * @ns:		namespace, on the path that is asked for
 *
 * Return: the value for blk_copy_limits.domain.
 */
u64 nvme_copy_domain(const struct nvme_ns *ns)
{
	const struct nvme_ns_head *head = ns->head;
	struct {
		char			subnqn[NVMF_NQN_SIZE];
		struct nvme_ns_ids	ids;
		__le32			ns_id;
		u8			lba_shift;
		u8			pi_type;
		__le16			ms;
	} name;

	memset(&name, 0, sizeof(name));
	strscpy(name.subnqn, head->subsys->subnqn, sizeof(name.subnqn));
	if (nvme_copy_goes_across(ns)) {
		name.lba_shift = head->lba_shift;
		name.pi_type = head->pi_type;
		name.ms = cpu_to_le16(head->ms);
	} else {
		name.ids = head->ids;
		name.ns_id = cpu_to_le32(head->ns_id);
	}
	return blk_copy_domain("nvme", &name, sizeof(name));
}

/**
 * nvme_copy_metadata_ok - do copies leave right what blocks have beside their data?
 * @head:	a namespace
 *
 * The controller can make protection information for the place where it writes: for
 * type 1 that is the number of the block.  Anything else that is stored with a block
 * would be lost or wrong: such namespaces are emulated, and so are those where the
 * tuple is only a part of the metadata, or larger than that of a 16-bit guard.
 *
 * Return: true if there is nothing, or exactly that.
 */
bool nvme_copy_metadata_ok(const struct nvme_ns_head *head)
{
	if (!head->ms)
		return true;
	return head->pi_type == NVME_NS_DPS_PI_TYPE1 &&
		head->guard_type == NVME_NVM_NS_16B_GUARD &&
		head->ms == sizeof(struct t10_pi_tuple) &&
		head->pi_size == head->ms;
}

/* Into zones nothing is copied, but from them: nvme_copy_in() does not ask. */
static bool nvme_copy_supported(struct nvme_ns *ns, const struct nvme_id_ns *id,
				const struct queue_limits *lim)
{
	struct nvme_ctrl *ctrl = ns->ctrl;
	struct nvme_ns_head *head = ns->head;

	return (ctrl->oncs & NVME_CTRL_ONCS_COPY) &&
		(ctrl->copy_formats & NVME_COPY_OCFS_FORMAT_0) &&
		ctrl->copy_reserve &&
		(head->ids.csi == NVME_CSI_NVM || head->ids.csi == NVME_CSI_ZNS) &&
		nvme_copy_metadata_ok(head) &&
		ilog2(lim->logical_block_size) == head->lba_shift &&
		id->mssrl && id->mcl;
}

/* Blocks of a limit as sectors, as far as these can be expressed */
static u32 nvme_copy_sectors(struct nvme_ns_head *head, u32 blocks)
{
	return min_t(u64, nvme_lba_to_sect(head, blocks), U32_MAX);
}

/**
 * nvme_config_copy - set the copy limits of a namespace
 * @ns:		namespace
 * @id:		what the controller says about it
 * @lim:	limits to be applied, the logical block size already set
 */
void nvme_config_copy(struct nvme_ns *ns, const struct nvme_id_ns *id,
		      struct queue_limits *lim)
{
	u32 mssrl = le16_to_cpu(id->mssrl), mcl = le32_to_cpu(id->mcl);
	u32 ranges = min_t(u32, id->msrc + 1, BLK_COPY_TOKEN_ENTRIES);
	struct blk_copy_limits *copy = &lim->copy;

	BUILD_BUG_ON(BLK_COPY_TOKEN_ENTRIES > NVME_COPY_MAX_RANGES);

	blk_copy_clear_limits(lim);
	if (!nvme_copy_supported(ns, id, lim))
		return;

	copy->domain = nvme_copy_domain(ns);
	copy->protection = true;
	copy->max_segments = ranges;
	copy->max_segment_sectors = nvme_copy_sectors(ns->head, mssrl);
	copy->max_hw_sectors = nvme_copy_sectors(ns->head,
						 min(mcl, mssrl * ranges));
	/*
	 * The administrator sees the multipath node, and sets the limit there.
	 * Only before its disk is added: what is set for a path later stays.
	 */
	if (nvme_ns_head_multipath(ns->head) &&
	    !test_bit(GD_ADDED, &ns->disk->state))
		copy->max_user_sectors = UINT_MAX;
}

/**
 * nvme_mpath_config_copy - set the copy limits of a multipath node
 * @head:	the node's namespace
 * @lim:	limits to be applied to the node
 *
 * Made anew from all paths each time, because a limit that is only stacked on
 * top of the old one could never grow again.  The node needs no pin: whichever
 * path is taken, a block stays the same block of the same namespace.
 */
void nvme_mpath_config_copy(struct nvme_ns_head *head,
			    struct queue_limits *lim)
{
	unsigned int max_user_sectors = lim->copy.max_user_sectors;
	struct queue_limits paths;
	struct nvme_ns *ns;
	int srcu_idx;

	blk_set_stacking_limits(&paths);
	blk_copy_set_stacking_limits(&paths);
	srcu_idx = srcu_read_lock(&head->srcu);
	list_for_each_entry_srcu(ns, &head->list, siblings,
				 srcu_read_lock_held(&head->srcu))
		if (test_bit(NVME_NS_READY, &ns->flags))
			blk_stack_limits(&paths, &ns->queue->limits, 0);
	srcu_read_unlock(&head->srcu, srcu_idx);

	lim->copy = paths.copy;
	lim->copy.max_user_sectors = max_user_sectors;
}

/**
 * nvme_mpath_update_copy - apply new copy limits to a multipath node
 * @head:	the node's namespace; without a node nothing is done
 *
 * For what changes them beside an update of the namespace: a path that has left.
 *
 * Context: may sleep; waits until nothing is being submitted to the node.
 * Return: 0 or a negative errno.
 */
int nvme_mpath_update_copy(struct nvme_ns_head *head)
{
	struct queue_limits lim;

	if (!nvme_ns_head_multipath(head))
		return 0;
	lim = queue_limits_start_update(head->disk->queue);
	nvme_mpath_config_copy(head, &lim);
	return queue_limits_commit_update_frozen(head->disk->queue, &lim);
}

static u32 nvme_copy_max_range_bytes(const struct nvme_ns *ns)
{
	return ns->queue->limits.copy.max_segment_sectors << SECTOR_SHIFT;
}

/**
 * nvme_copy_ready - can a namespace copy now?
 * @ns:		source or destination
 *
 * Return: true if so, and it is formatted as its queue believes.
 */
bool nvme_copy_ready(const struct nvme_ns *ns)
{
	const struct queue_limits *lim = &ns->queue->limits;

	return blk_copy_is_source(&lim->copy) &&
		test_bit(NVME_NS_READY, &ns->flags) &&
		ilog2(lim->logical_block_size) == ns->head->lba_shift &&
		nvme_copy_metadata_ok(ns->head);
}

static bool nvme_copy_in_bounds(const struct nvme_ns *ns, sector_t sector,
				u32 bytes)
{
	sector_t capacity = get_capacity(ns->disk);
	u32 nr_sects = bytes >> SECTOR_SHIFT;
	u32 mask = (1U << ns->head->lba_shift) - 1;

	return nr_sects && nr_sects <= capacity &&
		sector <= capacity - nr_sects &&
		!(((u32)sector << SECTOR_SHIFT | bytes) & mask);
}

/**
 * nvme_copy_in - answer a COPY_IN with a reference to this namespace
 * @bio:	COPY_IN bio, remapped to the namespace; ended here
 *
 * The checks are hints that avoid useless commands: nvme_setup_copy() makes
 * them again when the reference is used.
 */
void nvme_copy_in(struct bio *bio)
{
	struct nvme_ns *ns = bio->bi_bdev->bd_disk->private_data;

	if (!nvme_copy_ready(ns) ||
	    !nvme_copy_in_bounds(ns, bio->bi_iter.bi_sector,
				 bio->bi_iter.bi_size)) {
		bio->bi_status = BLK_STS_NOTSUPP;
		bio_endio(bio);
		return;
	}
	blk_copy_in_end(bio, &nvme_copy_leaf_ops, ns->head,
			nvme_copy_max_range_bytes(ns));
}

/* What the command relies on is stored behind its last range. */
static struct blk_copy_hold *nvme_copy_hold(struct nvme_copy_range *ranges,
					    unsigned int nr)
{
	return (struct blk_copy_hold *)(ranges + nr);
}

/* More ranges than the COPY_OUT can have; it may have far less than allowed. */
static unsigned int nvme_copy_max_ranges(const struct nvme_ns *ns,
					 const struct bio *bio)
{
	const struct blk_copy_token *token = bio_copy_token(bio);
	u32 bytes = nvme_copy_max_range_bytes(ns), zones = 0, nr, i;

	for (i = 0; i < token->nr_entries; i++) {
		const struct blk_copy_entry *e = &token->entry[i];

		bytes = min(bytes, e->max_bytes);
		if (e->zone_shift)
			zones += (e->len >> SECTOR_SHIFT >> e->zone_shift) + 1;
	}
	nr = token->nr_entries + bio->bi_iter.bi_size / bytes + 1 + zones;
	return min_t(u32, nr, ns->queue->limits.copy.max_segments);
}

static struct nvme_copy_range *nvme_alloc_copy_ranges(struct nvme_ctrl *ctrl,
						      unsigned int nr)
{
	size_t size = nr * sizeof(struct nvme_copy_range) +
		sizeof(struct blk_copy_hold);
	void *ranges = kmalloc(size, GFP_ATOMIC | __GFP_NOWARN);

	if (ranges)
		return ranges;
	if (test_and_set_bit_lock(0, &ctrl->copy_reserve->busy))
		return NULL;
	atomic_inc(&nvme_copy_reserve_used);
	return ctrl->copy_reserve->ranges;
}

static void nvme_free_copy_ranges(struct nvme_ctrl *ctrl,
				  struct nvme_copy_range *ranges)
{
	if (ranges == ctrl->copy_reserve->ranges)
		clear_bit_unlock(0, &ctrl->copy_reserve->busy);
	else
		kfree(ranges);
}

/*
 * @src: on the destination's controller.  Its format is that of the destination, whose
 * queue does not change while this request is in it.
 */
static bool nvme_copy_fill_ranges(struct nvme_ns *ns, struct nvme_ns *src,
				  struct bio *bio,
				  const struct blk_copy_hold *hold,
				  struct nvme_copy_range *ranges)
{
	struct blk_copy_range_iter iter;
	unsigned int n = 0;

	memset(ranges, 0, hold->nr_ranges * sizeof(*ranges));
	blk_copy_range_iter_init(&iter, bio, hold,
				 nvme_copy_max_range_bytes(ns));
	while (n < hold->nr_ranges && blk_copy_range_iter_next(&iter)) {
		if (iter.entry->leaf != src->head ||
		    !nvme_copy_in_bounds(src, iter.sector, iter.bytes))
			return false;
		if (src != ns)
			ranges[n].snsid = cpu_to_le32(src->head->ns_id);
		ranges[n].slba = cpu_to_le64(nvme_sect_to_lba(ns->head,
							      iter.sector));
		ranges[n].nlb = cpu_to_le16((iter.bytes >>
					     ns->head->lba_shift) - 1);
		/* What type 1 stores: the lower half of the block's number */
		if (ns->head->ms)
			ranges[n].elbt =
				cpu_to_le32(le64_to_cpu(ranges[n].slba));
		n++;
	}
	return n == hold->nr_ranges;
}

/* Access to the source is looked at again: what COPY_IN has seen may be past. */
static bool nvme_copy_describe(struct nvme_ns *ns, struct bio *bio,
			       const struct blk_copy_hold *hold,
			       struct nvme_copy_range *ranges)
{
	struct blk_copy_range_iter iter;
	struct nvme_ns *src = ns;
	bool good = false;
	int srcu_idx;

	blk_copy_range_iter_init(&iter, bio, hold,
				 nvme_copy_max_range_bytes(ns));
	if (!blk_copy_range_iter_next(&iter))
		return false;
	srcu_idx = srcu_read_lock(&ns->ctrl->srcu);
	if (iter.entry->leaf != ns->head)
		src = nvme_copy_find_source(ns, iter.entry->leaf);
	if (src)
		good = nvme_copy_fill_ranges(ns, src, bio, hold, ranges);
	srcu_read_unlock(&ns->ctrl->srcu, srcu_idx);
	return good;
}

/*
 * Take hold of the source and describe it.  Anything that can make the command
 * wait was done before, so that the hold is only dropped when it is over.
 */
static blk_status_t nvme_copy_begin(struct nvme_ns *ns, struct request *req,
				    struct nvme_copy_range *ranges,
				    unsigned int max_ranges)
{
	struct blk_copy_hold hold = { .via = ns };
	blk_status_t status;

	status = blk_copy_out_begin(req->bio, &nvme_copy_leaf_ops, ns->head,
				    nvme_copy_max_range_bytes(ns), &hold);
	if (status != BLK_STS_OK)
		return status;
	if (hold.nr_ranges > max_ranges ||
	    !nvme_copy_describe(ns, req->bio, &hold, ranges)) {
		blk_copy_out_end(req->bio, &hold, BLK_COPY_REFUSED);
		return BLK_STS_NOTSUPP;
	}
	if (req->cmd_flags & REQ_NVME_MPATH)
		hold.node = ns->head->disk;
	*nvme_copy_hold(ranges, hold.nr_ranges) = hold;
	bvec_set_virt(&req->special_vec, ranges,
		      hold.nr_ranges * sizeof(*ranges));
	req->rq_flags |= RQF_SPECIAL_PAYLOAD;
	return BLK_STS_OK;
}

static const struct nvme_copy_range *nvme_copy_ranges(struct request *req)
{
	return bvec_virt(&req->special_vec);
}

static void nvme_copy_fill_command(struct nvme_ns *ns, struct request *req,
				   struct nvme_command *cmnd)
{
	u64 sdlba = nvme_sect_to_lba(ns->head, blk_rq_pos(req));
	const struct nvme_copy_range *ranges = nvme_copy_ranges(req);
	u32 nr = req->special_vec.bv_len / sizeof(*ranges);
	u32 cdw12 = (nr - 1) & NVME_COPY_CDW12_NR;

	if (ranges->snsid)
		cdw12 |= NVME_COPY_CDW12_FORMAT_2;
	if (ns->head->ms)
		cdw12 |= NVME_COPY_CDW12_READ_REF | NVME_COPY_CDW12_READ_GUARD |
			NVME_COPY_CDW12_READ_PRACT |
			NVME_COPY_CDW12_WRITE_PRACT;
	if (req->cmd_flags & REQ_FAILFAST_DEV)
		cdw12 |= NVME_COPY_CDW12_LR;

	memset(cmnd, 0, sizeof(*cmnd));
	cmnd->common.opcode = nvme_cmd_copy;
	cmnd->common.nsid = cpu_to_le32(ns->head->ns_id);
	cmnd->common.cdw10 = cpu_to_le32(lower_32_bits(sdlba));
	cmnd->common.cdw11 = cpu_to_le32(upper_32_bits(sdlba));
	cmnd->common.cdw12 = cpu_to_le32(cdw12);
	if (ns->head->ms)
		cmnd->common.cdw14 = cpu_to_le32(lower_32_bits(sdlba));
}

/**
 * nvme_setup_copy - make a Copy command of a COPY_OUT request
 * @ns:		destination
 * @req:	the request, which has one bio
 * @cmnd:	command to fill in
 *
 * A command that was executed is not repeated by the driver: reading and writing
 * is faster than a long copy that fails five times.  Requests that were not sent
 * yet are requeued, and fail over to another path, like any other.
 *
 * Return: BLK_STS_OK; BLK_STS_RESOURCE to be called again later;
 * BLK_STS_NOTSUPP if the data must be read and written.
 */
blk_status_t nvme_setup_copy(struct nvme_ns *ns, struct request *req,
			     struct nvme_command *cmnd)
{
	struct nvme_copy_range *ranges;
	unsigned int max_ranges;
	blk_status_t status;

	/* The issuer falls back, and reports what is worth to be known. */
	req->rq_flags |= RQF_QUIET;

	if (!nvme_copy_ready(ns) || !ns->queue->limits.copy.max_sectors ||
	    blk_rq_sectors(req) > ns->queue->limits.copy.max_hw_sectors ||
	    !nvme_copy_in_bounds(ns, blk_rq_pos(req), blk_rq_bytes(req)))
		return BLK_STS_NOTSUPP;

	max_ranges = nvme_copy_max_ranges(ns, req->bio);
	ranges = nvme_alloc_copy_ranges(ns->ctrl, max_ranges);
	if (!ranges)
		return BLK_STS_RESOURCE;
	status = nvme_copy_begin(ns, req, ranges, max_ranges);
	if (status != BLK_STS_OK) {
		nvme_free_copy_ranges(ns->ctrl, ranges);
		return status;
	}

	nvme_copy_fill_command(ns, req, cmnd);
	nvme_req(req)->retries = U8_MAX;
	req->timeout = req->q->rq_timeout +
		DIV_ROUND_UP(blk_rq_bytes(req), NVME_COPY_MIN_RATE) * HZ;
	return BLK_STS_OK;
}

/*
 * Did the device not even begin?  Then the request was not sent, or the controller has
 * no access to the namespace at present while others may have.  Between namespaces it
 * may be the source that it has no access to: then another path for the destination is
 * of no use.
 */
static bool nvme_copy_not_executed(struct request *req)
{
	return !blk_mq_request_completed(req) ||
		((req->cmd_flags & REQ_NVME_MPATH) &&
		 nvme_is_ana_error(nvme_req(req)->status) &&
		 !nvme_copy_ranges(req)->snsid);
}

/*
 * Statuses by which a device that works says that it does not copy this; the
 * first four are those that mean "not supported" for every command.
 */
static bool nvme_copy_refused(u16 status)
{
	switch (status & NVME_SCT_SC_MASK) {
	case NVME_SC_INVALID_OPCODE:
	case NVME_SC_INVALID_FIELD:
	case NVME_SC_INVALID_NS:
	case NVME_SC_BAD_ATTRIBUTES:
	case NVME_SC_INVALID_FORMAT:
	case NVME_SC_CMD_SIZE_LIM_EXCEEDED:
	case NVME_SC_COPY_INCOMPATIBLE_NS:
	case NVME_SC_COPY_NOT_FAST:
	case NVME_SC_COPY_OVERLAP:
	case NVME_SC_COPY_NS_NOT_REACHABLE:
	case NVME_SC_COPY_NO_RESOURCES:
		return true;
	default:
		return false;
	}
}

/*
 * Has the driver taken it back?  By itself, or by the deletion of its queue, which a
 * controller that still answers reports for each command in it.
 */
static bool nvme_copy_taken_back(u16 status)
{
	return status == NVME_SC_HOST_ABORTED_CMD || status == NVME_SC_ABORT_QUEUE;
}

/* Is a controller still there, and was not stopped? */
static bool nvme_copy_still_runs(struct nvme_ctrl *ctrl)
{
	u32 csts;

	return !ctrl->ops->reg_read32(ctrl, NVME_REG_CSTS, &csts) &&
		csts != U32_MAX && (csts & NVME_CSTS_RDY);
}

/*
 * Was it ended by the host, while it may be executed yet?  Over fabrics the host only
 * closes the connection, and the target may be about to.  On PCIe the driver disables
 * the controller first, which ends its commands as the loss of the link does; but one
 * that is broken it leaves alone, or does not wait for.
 */
static bool nvme_copy_lost(struct request *req)
{
	u16 status = nvme_req(req)->status & NVME_SCT_SC_MASK;
	struct nvme_ctrl *ctrl = nvme_req(req)->ctrl;

	if (ctrl->ops->flags & NVME_F_FABRICS)
		return status == NVME_SC_HOST_ABORTED_CMD ||
			status == NVME_SC_HOST_PATH_ERROR;
	return status == NVME_SC_HOST_ABORTED_CMD && nvme_copy_still_runs(ctrl);
}

static enum blk_copy_outcome nvme_copy_outcome(struct request *req)
{
	u16 status = nvme_req(req)->status;

	/* Where it could not be sent the status says nothing. */
	if (nvme_copy_not_executed(req) || nvme_copy_refused(status) ||
	    nvme_is_ana_error(status))
		return BLK_COPY_REFUSED;
	if (nvme_copy_lost(req))
		return BLK_COPY_LOST;
	return status ? BLK_COPY_FAILED : BLK_COPY_DONE;
}

/**
 * __nvme_cleanup_copy - release what nvme_setup_copy() took
 * @req:	COPY_OUT request that has its payload
 *
 * Also called where the command could not be sent.
 */
void __nvme_cleanup_copy(struct request *req)
{
	struct nvme_copy_range *ranges = bvec_virt(&req->special_vec);
	u32 nr = req->special_vec.bv_len / sizeof(*ranges);

	if (nvme_copy_not_executed(req))
		nvme_req(req)->retries = 0;
	blk_copy_out_end(req->bio, nvme_copy_hold(ranges, nr),
			 nvme_copy_outcome(req));
	nvme_free_copy_ranges(nvme_req(req)->ctrl, ranges);
	req->rq_flags &= ~RQF_SPECIAL_PAYLOAD;
}

/*
 * Did it take too long?  First the driver asks the controller to abort a command;
 * one that times out once more has the controller disabled.  Others that end with
 * that one, or with a reset, have failed on their way.
 */
static bool nvme_copy_timed_out(const struct request *req, u16 status)
{
	return status == NVME_SC_ABORT_REQ ||
		(nvme_copy_taken_back(status) && (req->rq_flags & RQF_TIMED_OUT));
}

/**
 * __nvme_copy_status - what a failed Copy command means to the block layer
 * @req:	COPY_OUT request
 * @status:	what its status would mean for another command
 *
 * Overlapping I/O Range exists for other descriptor formats only; a device that
 * says so has not copied, and reading before writing is right in any case.
 *
 * Return: BLK_STS_NOTSUPP where the device refused and nothing is wrong;
 * BLK_STS_TIMEOUT or BLK_STS_TRANSPORT where another Copy would fare no better.
 */
blk_status_t __nvme_copy_status(struct request *req, blk_status_t status)
{
	u16 nvme_status = nvme_req(req)->status & NVME_SCT_SC_MASK;

	if (nvme_is_ana_error(nvme_status))
		nvme_copy_read_ana(nvme_req(req)->ctrl);
	if (nvme_copy_refused(nvme_status) || nvme_is_ana_error(nvme_status))
		return BLK_STS_NOTSUPP;
	if (nvme_copy_timed_out(req, nvme_status))
		return BLK_STS_TIMEOUT;
	if (nvme_copy_taken_back(nvme_status) || nvme_is_path_error(nvme_status))
		return BLK_STS_TRANSPORT;
	return status;
}

/**
 * nvme_init_copy_debug - show how often a reserve was needed
 */
void nvme_init_copy_debug(void)
{
	struct dentry *dir = debugfs_lookup("blk_copy", NULL);

	if (IS_ERR_OR_NULL(dir))
		return;
	debugfs_create_atomic_t("nvme_reserve_used", 0600, dir,
				&nvme_copy_reserve_used);
	dput(dir);
}

/**
 * nvme_exit_copy_debug - undo nvme_init_copy_debug()
 */
void nvme_exit_copy_debug(void)
{
	struct dentry *dir = debugfs_lookup("blk_copy", NULL);

	if (IS_ERR_OR_NULL(dir))
		return;
	debugfs_lookup_and_remove("nvme_reserve_used", dir);
	dput(dir);
}
