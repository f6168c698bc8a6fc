// SPDX-License-Identifier: GPL-2.0
/*
 * NVM Express: copy offload between namespaces of one subsystem.
 *
 * NVM Command Set Specification 1.2, section 3.3.2, descriptor format 2h: each range
 * names its namespace, which must be attached to the controller that executes the
 * command.  All ranges of a command name the same one here.  Format 3h is for
 * namespaces with a large guard, which copy.c leaves to emulation.
 */
#include <linux/blk-copy.h>
#include <linux/nvme-copy.h>
#include <linux/slab.h>

#include "nvme.h"

/**
 * nvme_enable_copy_across - ask a controller to accept format 2h
 * @ctrl:	controller that has been identified
 *
 * Base Specification 2.2, section 5.2.26.1.15: a format beyond 1h is only accepted
 * when Host Behavior Support enables it.  That feature is written as a whole, so
 * what nvme_configure_host_options() has set before goes in once more; a controller
 * that refuses it keeps that.  To be called after each reset.
 *
 * Context: may sleep.
 * Return: 0, also if the controller refuses, or a negative errno if it is gone.
 */
int nvme_enable_copy_across(struct nvme_ctrl *ctrl)
{
	struct nvme_feat_host_behavior *host;
	int ret;

	ctrl->copy_formats &= ~NVME_COPY_OCFS_FORMAT_2;
	if (!(ctrl->oncs & NVME_CTRL_ONCS_COPY) ||
	    !(ctrl->ocfs & NVME_COPY_OCFS_FORMAT_2))
		return 0;
	host = kzalloc_obj(*host, GFP_KERNEL);
	if (!host)
		return 0;
	if (ctrl->crdt[0])
		host->acre = NVME_ENABLE_ACRE;
	if (ctrl->ctratt & NVME_CTRL_ATTR_ELBAS)
		host->lbafee = NVME_ENABLE_LBAFEE;
	host->cdfe = cpu_to_le16(NVME_COPY_OCFS_FORMAT_2);
	ret = nvme_set_features(ctrl, NVME_FEAT_HOST_BEHAVIOR, 0, host,
				sizeof(*host), NULL);
	kfree(host);
	if (!ret)
		ctrl->copy_formats |= NVME_COPY_OCFS_FORMAT_2;
	else if (ret > 0)
		dev_info(ctrl->device,
			 "copies between namespaces are not enabled (status %#x)\n",
			 ret);
	return min(ret, 0);
}

/**
 * nvme_copy_goes_across - may a namespace copy from others?
 * @ns:		namespace, on the path that would be taken
 *
 * Return: true if the controller and the administrator let it.
 */
bool nvme_copy_goes_across(const struct nvme_ns *ns)
{
	return (ns->ctrl->copy_formats & NVME_COPY_OCFS_FORMAT_2) &&
		!READ_ONCE(ns->head->copy_within_only);
}

/* Format and switches of the two, whichever controller is asked */
static bool nvme_copy_fits(const struct nvme_ns_head *dst,
			   const struct nvme_ns_head *src)
{
	return dst->subsys == src->subsys && dst->lba_shift == src->lba_shift &&
		dst->ms == src->ms && dst->pi_type == src->pi_type &&
		nvme_copy_metadata_ok(src) && !READ_ONCE(src->copy_within_only);
}

/* Has the controller access to the source, as far as is known? */
static bool nvme_copy_accessible(const struct nvme_ns *ns)
{
#ifdef CONFIG_NVME_MULTIPATH
	enum nvme_ana_state state = READ_ONCE(ns->ana_state);

	return (state == NVME_ANA_OPTIMIZED || state == NVME_ANA_NONOPTIMIZED) &&
		!test_bit(NVME_NS_ANA_PENDING, &ns->flags);
#else
	return true;
#endif
}

/**
 * nvme_copy_find_source - a source namespace as a destination's controller has it
 * @dst:	destination
 * @src:	the source
 *
 * Context: under ctrl->srcu of @dst.
 * Return: the namespace, valid as long as that is held; NULL if it is not attached
 * there, or cannot be copied from now.
 */
struct nvme_ns *nvme_copy_find_source(struct nvme_ns *dst,
				      struct nvme_ns_head *src)
{
	struct nvme_ctrl *ctrl = dst->ctrl;
	struct nvme_ns *ns;

	if (!nvme_copy_goes_across(dst) || !nvme_copy_fits(dst->head, src))
		return NULL;
	list_for_each_entry_srcu(ns, &ctrl->namespaces, list,
				 srcu_read_lock_held(&ctrl->srcu))
		if (ns->head == src)
			return nvme_copy_ready(ns) &&
				nvme_copy_accessible(ns) ? ns : NULL;
	return NULL;
}

/**
 * nvme_copy_reachable - can a namespace copy from another one?
 * @dst:	nvme_ns_head of the destination
 * @src:	nvme_ns_head of the source, held by the token
 * @via:	nvme_ns of @dst on the controller that is going to execute it
 *
 * Context: any.
 * Return: true if it can now.
 */
bool nvme_copy_reachable(void *dst, void *src, void *via)
{
	struct nvme_ns *ns = via;
	bool found;
	int srcu_idx;

	srcu_idx = srcu_read_lock(&ns->ctrl->srcu);
	found = nvme_copy_find_source(ns, src);
	srcu_read_unlock(&ns->ctrl->srcu, srcu_idx);
	return found;
}

/* The domain is a name that users see; whether one can is looked at each time. */
static int nvme_copy_update_domain(struct nvme_ns *ns)
{
	struct queue_limits lim = queue_limits_start_update(ns->queue);

	if (lim.copy.domain == BLK_COPY_DOMAIN_NONE) {
		queue_limits_cancel_update(ns->queue);
		return 0;
	}
	lim.copy.domain = nvme_copy_domain(ns);
	return queue_limits_commit_update_frozen(ns->queue, &lim);
}

/* Under the lock of the subsystem, without which no path goes */
static int nvme_copy_update_domains(struct nvme_ns_head *head)
{
	struct queue_limits lim;
	struct nvme_ns *ns;
	int err;

	list_for_each_entry(ns, &head->list, siblings) {
		err = nvme_copy_update_domain(ns);
		if (err)
			return err;
	}
	if (!nvme_ns_head_multipath(head))
		return 0;
	lim = queue_limits_start_update(head->disk->queue);
	nvme_mpath_config_copy(head, &lim);
	return queue_limits_commit_update_frozen(head->disk->queue, &lim);
}

static struct nvme_ns_head *nvme_copy_dev_head(struct device *dev)
{
	struct gendisk *disk = dev_to_disk(dev);

	if (nvme_disk_is_ns_head(disk))
		return disk->private_data;
	return ((struct nvme_ns *)disk->private_data)->head;
}

static ssize_t copy_across_namespaces_show(struct device *dev,
					   struct device_attribute *attr,
					   char *buf)
{
	struct nvme_ns_head *head = nvme_copy_dev_head(dev);

	return sysfs_emit(buf, "%d\n", !READ_ONCE(head->copy_within_only));
}

static ssize_t copy_across_namespaces_store(struct device *dev,
					    struct device_attribute *attr,
					    const char *buf, size_t count)
{
	struct nvme_ns_head *head = nvme_copy_dev_head(dev);
	bool across;
	int err;

	err = kstrtobool(buf, &across);
	if (err)
		return err;
	mutex_lock(&head->subsys->lock);
	WRITE_ONCE(head->copy_within_only, !across);
	err = nvme_copy_update_domains(head);
	mutex_unlock(&head->subsys->lock);
	return err ? err : count;
}
DEVICE_ATTR_RW(copy_across_namespaces);
