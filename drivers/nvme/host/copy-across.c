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
 * nvme_copy_ask_formats - descriptor formats that a controller is asked to accept
 * @ctrl:	controller that has been identified
 *
 * Base Specification 2.2, section 5.2.26.1.15: a format beyond 1h is only accepted
 * when Host Behavior Support enables it.
 *
 * Return: the field CDFE of that feature.
 */
__le16 nvme_copy_ask_formats(const struct nvme_ctrl *ctrl)
{
	if (!(ctrl->oncs & NVME_CTRL_ONCS_COPY))
		return 0;
	return cpu_to_le16(ctrl->ocfs & NVME_COPY_OCFS_FORMAT_2);
}

/**
 * nvme_copy_formats_refused - see whether Host Behavior Support was taken
 * @ctrl:	the controller
 * @host:	what was set; without the formats on return if these were refused
 * @ret:	what came of it: 0, a status, or a negative errno
 *
 * Return: true if it is to be set once more, because there is more in it.
 */
bool nvme_copy_formats_refused(struct nvme_ctrl *ctrl,
			       struct nvme_feat_host_behavior *host, int ret)
{
	if (!ret)
		ctrl->copy_formats |= le16_to_cpu(host->cdfe);
	if (ret <= 0 || !host->cdfe)
		return false;
	dev_info(ctrl->device,
		 "copies between namespaces are not enabled (status %#x)\n", ret);
	host->cdfe = 0;
	return host->acre || host->lbafee;
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
	struct nvme_ns *ns, *found = NULL;

	if (!nvme_copy_goes_across(dst) || !nvme_copy_fits(dst->head, src))
		return NULL;
	/* A controller that goes moves its list, and waits for RCU only. */
	rcu_read_lock();
	list_for_each_entry_srcu(ns, &ctrl->namespaces, list,
				 srcu_read_lock_held(&ctrl->srcu)) {
		if (ns->head == src) {
			found = ns;
			break;
		}
	}
	rcu_read_unlock();
	if (found && nvme_copy_ready(found) && nvme_copy_accessible(found))
		return found;
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
	struct nvme_ns *ns;
	int err;

	list_for_each_entry(ns, &head->list, siblings) {
		err = nvme_copy_update_domain(ns);
		if (err)
			return err;
	}
	return nvme_mpath_update_copy(head);
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
	bool across, before;
	int err;

	err = kstrtobool(buf, &across);
	if (err)
		return err;
	/* Waits until what is in flight has ended, by each path. */
	if (mutex_lock_killable(&head->subsys->lock))
		return -EINTR;
	before = head->copy_within_only;
	WRITE_ONCE(head->copy_within_only, !across);
	err = nvme_copy_update_domains(head);
	if (err)
		WRITE_ONCE(head->copy_within_only, before);
	mutex_unlock(&head->subsys->lock);
	return err ? err : count;
}
DEVICE_ATTR_RW(copy_across_namespaces);
