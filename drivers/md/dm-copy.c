// SPDX-License-Identifier: GPL-2.0
/*
 * Copy offload through device-mapper.
 *
 * A copy bio takes the way of a read or a write: it is cloned, cut at target
 * boundaries and at max_io_len, and remapped, and keeps its place in the token
 * all the while.  Two things are special, and are here:
 *
 * A target must have opted in (DM_TARGET_COPY), because for one that stores
 * anything but the caller's bytes at the mapped sector, or stores them somewhere
 * else tomorrow, the copy would be wrong.  Limits say so in advance, but a bio
 * may have passed them before the table changed; so the map path asks again.
 *
 * A COPY_IN is long over when the command that relies on it runs.  Each leaves
 * the pin of the device, and the pin loses its validity before the mapping can
 * change: see dm_copy_invalidate().
 */
#include "dm-core.h"

/**
 * dm_copy_init - give a new device its pin
 * @md:		the device
 *
 * Return: 0 or -ENOMEM.
 */
int dm_copy_init(struct mapped_device *md)
{
	md->copy_pin = blk_copy_pin_alloc();
	return md->copy_pin ? 0 : -ENOMEM;
}

/**
 * dm_copy_exit - drop the pin of a device; tokens may still refer to it
 * @md:		the device, perhaps without a pin
 */
void dm_copy_exit(struct mapped_device *md)
{
	blk_copy_pin_put(md->copy_pin);
	md->copy_pin = NULL;
}

/**
 * dm_copy_invalidate - forget what COPY_INs found under the present table
 * @md:		the device; no bio is being mapped and none is in flight
 * @task_state:	how the suspend waits
 *
 * Part of every suspend, because a suspend says that what lies below may now be
 * changed, with or without a new table.  It comes after the device's own I/O
 * has drained: a COPY_IN still in flight would record the new generation for
 * the old mapping.  A new table needs nothing more, since only a suspended
 * device gets one and nothing is mapped until it resumes.
 *
 * Waits for commands that rely on the mapping.  That needs nothing that the
 * suspend blocks: such a command runs at the leaf already, below every stacked
 * device, and ends or is dropped as the timeout handling of its driver has it.
 * One that has not started finds the pin changed and does not wait for anybody.
 * Nor does it matter that bios above wait for a resume, also of other suspended
 * devices: waiting bios hold no pin.
 *
 * Context: may sleep.
 * Return: 0, or -ERESTARTSYS if a signal ended the wait, as for the device's own
 * I/O: then the suspend must fail.
 */
int dm_copy_invalidate(struct mapped_device *md, unsigned int task_state)
{
	return blk_copy_pin_invalidate(md->copy_pin, task_state);
}

/**
 * dm_copy_table_limits - opt in, before the targets' limits are stacked
 * @t:		the table
 * @limits:	limits of the device that will have it
 *
 * What the administrator allowed is kept: a table is reloaded for many reasons
 * and none of them is to switch offload on again.  Like all limits of a table
 * this is applied later; what is written to copy_max_bytes meanwhile is lost.
 */
void dm_copy_table_limits(struct dm_table *t, struct queue_limits *limits)
{
	blk_copy_set_stacking_limits(limits);
	limits->copy.max_user_sectors =
		READ_ONCE(t->md->queue->limits.copy.max_user_sectors);
}

/**
 * dm_copy_target_limits - decide what a target adds to the limits of a table
 * @ti:		the target
 * @limits:	limits of the devices that it uses
 *
 * A target that did not opt in adds nothing, and neither does one with zones.  It does
 * not close the device either: a copy that touches it fails there, piece by piece.
 */
void dm_copy_target_limits(struct dm_target *ti, struct queue_limits *limits)
{
	if (!dm_target_supports_copy(ti->type) ||
	    (limits->features & BLK_FEAT_ZONED))
		blk_copy_clear_limits(limits);
}

/**
 * __dm_copy_map - may this target map this copy bio?
 * @md:		the device
 * @ti:		the target
 * @clone:	the copy bio, cut to what the target is asked to map
 *
 * Return: BLK_STS_OK with the pin of the device left in the token, or the
 * status that the bio must end with.
 */
blk_status_t __dm_copy_map(struct mapped_device *md, struct dm_target *ti,
			   struct bio *clone)
{
	if (!dm_target_supports_copy(ti->type) ||
	    blk_queue_is_zoned(md->queue))
		return BLK_STS_NOTSUPP;
	return blk_copy_pin_bio(clone, md->copy_pin);
}
