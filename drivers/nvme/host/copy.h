/* SPDX-License-Identifier: GPL-2.0 */
/*
 * NVM Express: copy offload, what the rest of the driver calls.
 *
 * Included by nvme.h behind the structures that this needs.
 */
#ifndef _NVME_HOST_COPY_H
#define _NVME_HOST_COPY_H

#include <linux/blk-copy.h>
#include <linux/nvme-copy.h>

#ifdef CONFIG_BLK_COPY

u64 nvme_copy_domain(const struct nvme_ns *ns);
bool nvme_copy_ready(const struct nvme_ns *ns);
bool nvme_copy_metadata_ok(const struct nvme_ns_head *head);
void nvme_init_copy(struct nvme_ctrl *ctrl, const struct nvme_id_ctrl *id);
void nvme_free_copy(struct nvme_ctrl *ctrl);
void nvme_config_copy(struct nvme_ns *ns, const struct nvme_id_ns *id,
		      struct queue_limits *lim);
void nvme_mpath_config_copy(struct nvme_ns_head *head,
			    struct queue_limits *lim);
int nvme_mpath_update_copy(struct nvme_ns_head *head);
void nvme_copy_in(struct bio *bio);
blk_status_t nvme_setup_copy(struct nvme_ns *ns, struct request *req,
			     struct nvme_command *cmnd);
void __nvme_cleanup_copy(struct request *req);
blk_status_t __nvme_copy_status(struct request *req, blk_status_t status);
void nvme_init_copy_debug(void);
void nvme_exit_copy_debug(void);

#ifdef CONFIG_NVME_COPY_ACROSS

bool nvme_copy_goes_across(const struct nvme_ns *ns);
bool nvme_copy_reachable(void *dst, void *src, void *via);
struct nvme_ns *nvme_copy_find_source(struct nvme_ns *dst,
				      struct nvme_ns_head *src);
__le16 nvme_copy_ask_formats(const struct nvme_ctrl *ctrl);
bool nvme_copy_formats_refused(struct nvme_ctrl *ctrl,
			       struct nvme_feat_host_behavior *host, int ret);

extern struct device_attribute dev_attr_copy_across_namespaces;
#define NVME_COPY_NS_ATTRS	&dev_attr_copy_across_namespaces.attr,

#else /* CONFIG_NVME_COPY_ACROSS */

#define nvme_copy_reachable	NULL

static inline bool nvme_copy_goes_across(const struct nvme_ns *ns)
{
	return false;
}

static inline struct nvme_ns *nvme_copy_find_source(struct nvme_ns *dst,
						    struct nvme_ns_head *src)
{
	return NULL;
}

#endif /* CONFIG_NVME_COPY_ACROSS */

#ifdef CONFIG_NVME_MULTIPATH

/* Has the controller access to a namespace, as far as is known? */
static inline bool nvme_copy_accessible(const struct nvme_ns *ns)
{
	enum nvme_ana_state state = READ_ONCE(ns->ana_state);

	return (state == NVME_ANA_OPTIMIZED || state == NVME_ANA_NONOPTIMIZED) &&
		!test_bit(NVME_NS_ANA_PENDING, &ns->flags);
}

/* What is known was wrong, and nothing fails over that would have it read anew. */
static inline void nvme_copy_read_ana(struct nvme_ctrl *ctrl)
{
	if (ctrl->ana_log_buf)
		queue_work(nvme_wq, &ctrl->ana_work);
}

#else /* CONFIG_NVME_MULTIPATH */

static inline bool nvme_copy_accessible(const struct nvme_ns *ns)
{
	return true;
}

static inline void nvme_copy_read_ana(struct nvme_ctrl *ctrl)
{
}

#endif /* CONFIG_NVME_MULTIPATH */

/* Safe for a request that was never set up, or is cleaned up already. */
static inline void nvme_cleanup_copy(struct request *req)
{
	if (req_op(req) == REQ_OP_COPY_OUT &&
	    (req->rq_flags & RQF_SPECIAL_PAYLOAD))
		__nvme_cleanup_copy(req);
}

static inline blk_status_t nvme_copy_status(struct request *req,
					    blk_status_t status)
{
	if (likely(req_op(req) != REQ_OP_COPY_OUT))
		return status;
	return __nvme_copy_status(req, status);
}

#else /* CONFIG_BLK_COPY */

#define nvme_copy_in	NULL

static inline void nvme_init_copy(struct nvme_ctrl *ctrl,
				  const struct nvme_id_ctrl *id)
{
}

static inline void nvme_free_copy(struct nvme_ctrl *ctrl)
{
}

static inline void nvme_config_copy(struct nvme_ns *ns,
				    const struct nvme_id_ns *id,
				    struct queue_limits *lim)
{
}

static inline void nvme_mpath_config_copy(struct nvme_ns_head *head,
					  struct queue_limits *lim)
{
}

static inline int nvme_mpath_update_copy(struct nvme_ns_head *head)
{
	return 0;
}

static inline blk_status_t nvme_setup_copy(struct nvme_ns *ns,
					   struct request *req,
					   struct nvme_command *cmnd)
{
	return BLK_STS_NOTSUPP;
}

static inline void nvme_cleanup_copy(struct request *req)
{
}

static inline blk_status_t nvme_copy_status(struct request *req,
					    blk_status_t status)
{
	return status;
}

static inline void nvme_init_copy_debug(void)
{
}

static inline void nvme_exit_copy_debug(void)
{
}

#endif /* CONFIG_BLK_COPY */

#ifndef CONFIG_NVME_COPY_ACROSS
#define NVME_COPY_NS_ATTRS

static inline __le16 nvme_copy_ask_formats(const struct nvme_ctrl *ctrl)
{
	return 0;
}

static inline bool
nvme_copy_formats_refused(struct nvme_ctrl *ctrl,
			  struct nvme_feat_host_behavior *host, int ret)
{
	return false;
}
#endif

/*
 * Does a command of user space copy from a namespace that its descriptors name?
 * Nobody has asked for access to that one.
 */
static inline bool nvme_copy_names_source(const struct nvme_command *c)
{
	return c->common.opcode == nvme_cmd_copy &&
		(le32_to_cpu(c->common.cdw12) & NVME_COPY_CDW12_FORMAT) >=
			NVME_COPY_CDW12_FORMAT_2;
}

#endif /* _NVME_HOST_COPY_H */
