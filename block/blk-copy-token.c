// SPDX-License-Identifier: GPL-2.0
/*
 * Copy offload: the token.
 *
 * A token is an address space.  COPY_INs fill ranges of it with references to
 * leaves, in any order and perhaps more than once; COPY_OUTs spend ranges of it.
 * This file holds its bookkeeping and no I/O: entries, pins, layers, and the
 * map of what is done.
 *
 * Filling takes the lock, because COPY_INs of one token run in parallel.
 * Looking up does not: COPY_OUT is sent after the last COPY_IN has ended and the
 * entries are prepared, and they do not change until the token is initialised
 * again.
 */
#include <linux/export.h>
#include <linux/slab.h>

#include "blk.h"
#include "blk-copy-internal.h"

/* ------------------------------------------------------------ done map */

/**
 * blk_copy_map_init - empty a map
 * @map:	the map
 */
void blk_copy_map_init(struct blk_copy_map *map)
{
	map->bytes = 0;
	map->nr = 0;
	map->lost = false;
}

/**
 * blk_copy_map_add - remember a finished slice
 * @map:	the map
 * @off:	first byte
 * @len:	bytes, not 0
 *
 * Joins the slice with neighbours and with what it overlaps.  Without room for
 * another slice the map stays as it is: it may know too little, never too much.
 */
void blk_copy_map_add(struct blk_copy_map *map, u32 off, u32 len)
{
	u32 end = off + len;
	unsigned int i, j;

	map->bytes += len;
	for (i = 0; i < map->nr; i++)
		if (map->slice[i].off + map->slice[i].len >= off)
			break;
	for (j = i; j < map->nr && map->slice[j].off <= end; j++)
		end = max(end, map->slice[j].off + map->slice[j].len);

	if (i == j) {
		if (map->nr == BLK_COPY_MAP_SLICES) {
			map->lost = true;
			return;
		}
		memmove(&map->slice[i + 1], &map->slice[i],
			(map->nr - i) * sizeof(map->slice[0]));
		map->nr++;
	} else {
		off = min(off, map->slice[i].off);
		memmove(&map->slice[i + 1], &map->slice[j],
			(map->nr - j) * sizeof(map->slice[0]));
		map->nr -= j - i - 1;
	}
	map->slice[i].off = off;
	map->slice[i].len = end - off;
}

/**
 * blk_copy_map_prefix - how far is everything done?
 * @map:	the map
 *
 * Return: bytes from offset 0 without a gap.
 */
u32 blk_copy_map_prefix(const struct blk_copy_map *map)
{
	return map->nr && !map->slice[0].off ? map->slice[0].len : 0;
}

static u32 blk_copy_map_end_at(const struct blk_copy_map *map, u32 off)
{
	unsigned int i;

	for (i = 0; i < map->nr && map->slice[i].off <= off; i++)
		if (off < map->slice[i].off + map->slice[i].len)
			return map->slice[i].off + map->slice[i].len;
	return off;
}

/**
 * blk_copy_maps_prefix - how far is everything done, by one or the other?
 * @a:		a map
 * @b:		another map of the same bytes
 *
 * Return: bytes from offset 0 without a gap in both together.
 */
u32 blk_copy_maps_prefix(const struct blk_copy_map *a,
			 const struct blk_copy_map *b)
{
	u32 off = 0, next;

	while ((next = max(blk_copy_map_end_at(a, off),
			   blk_copy_map_end_at(b, off))) != off)
		off = next;
	return off;
}

/**
 * blk_copy_map_below - how much is done below an offset?
 * @map:	the map
 * @end:	offset in bytes
 *
 * Return: finished bytes in [0, @end).
 */
u32 blk_copy_map_below(const struct blk_copy_map *map, u32 end)
{
	u32 sum = 0;
	unsigned int i;

	for (i = 0; i < map->nr && map->slice[i].off < end; i++)
		sum += min(map->slice[i].len, end - map->slice[i].off);
	return sum;
}

/**
 * blk_copy_map_next_hole - what is left to do?
 * @map:	the map
 * @from:	where to start looking
 * @end:	where to stop
 * @off:	set to the first byte of the hole
 * @len:	set to its length
 *
 * Return: false if everything in [@from, @end) is done.
 */
bool blk_copy_map_next_hole(const struct blk_copy_map *map, u32 from, u32 end,
			    u32 *off, u32 *len)
{
	unsigned int i;

	for (i = 0; i < map->nr && from < end; i++) {
		if (from < map->slice[i].off) {
			end = min(end, map->slice[i].off);
			break;
		}
		from = max(from, map->slice[i].off + map->slice[i].len);
	}
	if (from >= end)
		return false;
	*off = from;
	*len = end - from;
	return true;
}

/* ---------------------------------------------------------------- pins */

/**
 * blk_copy_pin_alloc - make the pin of a stacked device
 *
 * Context: may sleep.
 * Return: the pin with one reference, for the device; NULL without memory.
 */
struct blk_copy_pin *blk_copy_pin_alloc(void)
{
	struct blk_copy_pin *pin = kzalloc_obj(*pin, GFP_KERNEL);

	if (!pin)
		return NULL;
	kref_init(&pin->ref);
	spin_lock_init(&pin->lock);
	init_waitqueue_head(&pin->wait);
	return pin;
}
EXPORT_SYMBOL_GPL(blk_copy_pin_alloc);

static void blk_copy_pin_free(struct kref *ref)
{
	kfree(container_of(ref, struct blk_copy_pin, ref));
}

/**
 * blk_copy_pin_put - drop a reference to a pin
 * @pin:	the pin, or NULL
 *
 * Context: any.
 */
void blk_copy_pin_put(struct blk_copy_pin *pin)
{
	if (pin)
		kref_put(&pin->ref, blk_copy_pin_free);
}
EXPORT_SYMBOL_GPL(blk_copy_pin_put);

/**
 * blk_copy_pin_invalidate - the mapping of a stacked device is about to change
 * @pin:	pin of the device, or NULL
 * @task_state:	how to wait: TASK_INTERRUPTIBLE, TASK_UNINTERRUPTIBLE, ...
 *
 * Every token filled before is stale from now on, in any case.  Waits for the
 * commands that already rely on it, which takes as long as their driver lets a
 * command take: one is only counted after it was started, so none of them waits
 * for the caller.
 * To be called when the device's own I/O has drained and before anyone is told
 * so, because a COPY_IN in flight would record the new generation.
 *
 * Context: may sleep; the caller may block new I/O of the device.
 * Return: 0, or -ERESTARTSYS if a signal came that @task_state lets through: then
 * commands may still rely on the mapping, and it must not change.
 */
int blk_copy_pin_invalidate(struct blk_copy_pin *pin, unsigned int task_state)
{
	int err;

	if (!pin)
		return 0;
	spin_lock_irq(&pin->lock);
	pin->gen++;
	err = ___wait_event(pin->wait, !pin->busy, task_state, 0, 0,
			    spin_unlock_irq(&pin->lock);
			    schedule();
			    spin_lock_irq(&pin->lock));
	spin_unlock_irq(&pin->lock);
	return err;
}
EXPORT_SYMBOL_GPL(blk_copy_pin_invalidate);

static bool blk_copy_pin_hold(struct blk_copy_pin_ref *ref)
{
	unsigned long flags;
	bool valid;

	spin_lock_irqsave(&ref->pin->lock, flags);
	valid = ref->pin->gen == ref->gen;
	if (valid)
		ref->pin->busy++;
	spin_unlock_irqrestore(&ref->pin->lock, flags);
	return valid;
}

static void blk_copy_pin_unhold(struct blk_copy_pin_ref *ref)
{
	unsigned long flags;

	spin_lock_irqsave(&ref->pin->lock, flags);
	if (!--ref->pin->busy)
		wake_up_all(&ref->pin->wait);
	spin_unlock_irqrestore(&ref->pin->lock, flags);
}

static void blk_copy_pins_unhold(struct blk_copy_token *token, u32 pins)
{
	unsigned long mask = pins;
	unsigned int i;

	for_each_set_bit(i, &mask, BLK_COPY_TOKEN_PINS)
		blk_copy_pin_unhold(&token->pin[i]);
}

static bool blk_copy_pins_hold(struct blk_copy_token *token, u32 pins)
{
	unsigned long mask = pins;
	unsigned int i;
	u32 held = 0;

	for_each_set_bit(i, &mask, BLK_COPY_TOKEN_PINS) {
		if (!blk_copy_pin_hold(&token->pin[i])) {
			blk_copy_pins_unhold(token, held);
			return false;
		}
		held |= BIT(i);
	}
	return true;
}

/* Slot of a pin with its present generation, -1 if there is no room */
static int blk_copy_pin_slot(struct blk_copy_token *token,
			     struct blk_copy_pin *pin)
{
	unsigned long flags;
	unsigned int i;
	u64 gen;

	spin_lock_irqsave(&pin->lock, flags);
	gen = pin->gen;
	spin_unlock_irqrestore(&pin->lock, flags);

	for (i = 0; i < token->nr_pins; i++)
		if (token->pin[i].pin == pin && token->pin[i].gen == gen)
			return i;
	if (i == BLK_COPY_TOKEN_PINS)
		return -1;
	kref_get(&pin->ref);
	token->pin[i].pin = pin;
	token->pin[i].gen = gen;
	token->nr_pins++;
	return i;
}

/* ------------------------------------------------ spans: pins by offset */

/*
 * Forget what was recorded for a pin in [off, end): a COPY_IN that is requeued
 * passes the device again, perhaps under another generation.
 */
static bool blk_copy_span_clear(struct blk_copy_token *token, u8 layer,
				const struct blk_copy_pin *pin, u32 off, u32 end)
{
	unsigned int i;

	for (i = 0; i < token->nr_spans; i++) {
		struct blk_copy_span *s = &token->span[i];
		u32 s_end = s->off + s->len;

		if (s->layer != layer || token->pin[s->slot].pin != pin ||
		    s_end <= off || s->off >= end)
			continue;
		if (s->off < off && s_end > end) {
			if (token->nr_spans == BLK_COPY_TOKEN_SPANS)
				return false;
			token->span[token->nr_spans] = *s;
			token->span[token->nr_spans].off = end;
			token->span[token->nr_spans].len = s_end - end;
			token->nr_spans++;
			s->len = off - s->off;
		} else if (s->off < off) {
			s->len = off - s->off;
		} else if (s_end > end) {
			s->len = s_end - end;
			s->off = end;
		} else {
			*s = token->span[--token->nr_spans];
			i--;
		}
	}
	return true;
}

static bool blk_copy_span_add(struct blk_copy_token *token, u8 layer, u8 slot,
			      u32 off, u32 len)
{
	unsigned int i;

	for (i = 0; i < token->nr_spans; i++) {
		struct blk_copy_span *s = &token->span[i];

		if (s->layer != layer || s->slot != slot)
			continue;
		if (s->off + s->len == off) {
			s->len += len;
			return true;
		}
		if (off + len == s->off) {
			s->off = off;
			s->len += len;
			return true;
		}
	}
	if (token->nr_spans == BLK_COPY_TOKEN_SPANS)
		return false;
	token->span[token->nr_spans++] = (struct blk_copy_span) {
		.off = off, .len = len, .layer = layer, .slot = slot,
	};
	return true;
}

static u32 blk_copy_span_pins(const struct blk_copy_token *token, u8 layer,
			      u32 off, u32 len)
{
	unsigned int i;
	u32 pins = 0;

	for (i = 0; i < token->nr_spans; i++) {
		const struct blk_copy_span *s = &token->span[i];

		if (s->layer == layer && s->off < off + len &&
		    off < s->off + s->len)
			pins |= BIT(s->slot);
	}
	return pins;
}

static u8 bio_copy_layer(const struct bio *bio)
{
	const struct blk_copy_layer *layer =
		container_of(bio->bi_io_vec, struct blk_copy_layer, bv);

	return layer - layer->token->layer;
}

/**
 * blk_copy_pin_bio - leave the pin of a stacked device in the token
 * @bio:	copy bio that the device maps: exactly the slice that this
 *		mapping decides about, its offset and length in the iterator
 * @pin:	pin of the device
 *
 * Must be called for every COPY_IN that a stacked device maps, while the bio
 * counts as in flight in that device.  Does nothing for a COPY_OUT.
 *
 * Context: any.
 * Return: BLK_STS_OK, or BLK_STS_NOTSUPP if the bio must not be mapped.
 */
blk_status_t blk_copy_pin_bio(struct bio *bio, struct blk_copy_pin *pin)
{
	struct blk_copy_token *token = bio_copy_token(bio);
	u32 off = bio_copy_offset(bio), len = bio->bi_iter.bi_size;
	u8 layer = bio_copy_layer(bio);
	unsigned long flags;
	bool ok = false;
	int slot;

	if (bio_op(bio) != REQ_OP_COPY_IN)
		return BLK_STS_OK;
	if (!pin)
		return BLK_STS_NOTSUPP;

	spin_lock_irqsave(&token->lock, flags);
	slot = blk_copy_pin_slot(token, pin);
	if (slot >= 0)
		ok = blk_copy_span_clear(token, layer, pin, off, off + len) &&
			blk_copy_span_add(token, layer, slot, off, len);
	spin_unlock_irqrestore(&token->lock, flags);
	if (ok)
		return BLK_STS_OK;
	set_bit(BLK_COPY_TOKEN_OVERFLOW, &token->flags);
	return BLK_STS_NOTSUPP;
}
EXPORT_SYMBOL_GPL(blk_copy_pin_bio);

/* ------------------------------------------------------------- entries */

static inline u32 blk_copy_entry_end(const struct blk_copy_entry *e)
{
	return e->off + e->len;
}

/* First entry of a layer that ends behind an offset; may be nr_entries */
static unsigned int blk_copy_entry_at(const struct blk_copy_token *token,
				      u8 layer, u32 off)
{
	unsigned int lo = 0, hi = token->nr_entries;

	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;
		const struct blk_copy_entry *e = &token->entry[mid];

		if (e->layer < layer ||
		    (e->layer == layer && blk_copy_entry_end(e) <= off))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/**
 * blk_copy_token_find - look up an offset
 * @token:	the token, filled
 * @layer:	which filling
 * @off:	offset in bytes
 *
 * Return: the entry that covers @off, or NULL for a gap.
 */
const struct blk_copy_entry *
blk_copy_token_find(const struct blk_copy_token *token, u8 layer, u32 off)
{
	unsigned int i = blk_copy_entry_at(token, layer, off);
	const struct blk_copy_entry *e = &token->entry[i];

	if (i == token->nr_entries || e->layer != layer || e->off > off)
		return NULL;
	return e;
}

static bool blk_copy_entry_insert(struct blk_copy_token *token, unsigned int i,
				  const struct blk_copy_entry *new)
{
	if (token->nr_entries == BLK_COPY_TOKEN_ENTRIES)
		return false;
	memmove(&token->entry[i + 1], &token->entry[i],
		(token->nr_entries - i) * sizeof(*new));
	token->entry[i] = *new;
	token->nr_entries++;
	return true;
}

static void blk_copy_entry_remove(struct blk_copy_token *token, unsigned int i)
{
	struct blk_copy_entry *e = &token->entry[i];

	if (e->priv && e->ops->release)
		e->ops->release(e->priv);
	token->nr_entries--;
	memmove(e, e + 1, (token->nr_entries - i) * sizeof(*e));
}

static void blk_copy_entry_cut_head(struct blk_copy_entry *e, u32 off)
{
	e->sector += (off - e->off) >> SECTOR_SHIFT;
	e->len -= off - e->off;
	e->off = off;
}

/* Make [off, end) of a layer a gap; false if a split found no room */
static bool blk_copy_entry_clear(struct blk_copy_token *token, u8 layer,
				 u32 off, u32 end)
{
	unsigned int i = blk_copy_entry_at(token, layer, off);

	while (i < token->nr_entries) {
		struct blk_copy_entry *e = &token->entry[i];
		u32 e_end = blk_copy_entry_end(e);

		if (e->layer != layer || e->off >= end)
			break;
		if (e->priv) {
			/* Of one piece for the driver: none of it is left. */
			blk_copy_entry_remove(token, i);
		} else if (e->off < off) {
			if (e_end > end) {
				struct blk_copy_entry tail = *e;

				blk_copy_entry_cut_head(&tail, end);
				if (!blk_copy_entry_insert(token, i + 1, &tail))
					return false;
			}
			e->len = off - e->off;
			i++;
		} else if (e_end > end) {
			blk_copy_entry_cut_head(e, end);
		} else {
			blk_copy_entry_remove(token, i);
		}
	}
	return true;
}

/* Does the source go on where it stops?  Then the two make one range. */
static bool blk_copy_entry_contiguous(const struct blk_copy_entry *a,
				      const struct blk_copy_entry *b)
{
	return a->layer == b->layer && blk_copy_entry_end(a) == b->off &&
		a->leaf == b->leaf && a->ops == b->ops &&
		!a->priv && !b->priv &&
		a->sector + (a->len >> SECTOR_SHIFT) == b->sector;
}

static bool blk_copy_entry_same_kind(const struct blk_copy_entry *a,
				     const struct blk_copy_entry *b)
{
	return a->pins == b->pins && a->state == b->state &&
		a->max_bytes == b->max_bytes && a->zone_shift == b->zone_shift;
}

static bool blk_copy_entry_coalesce(struct blk_copy_token *token,
				    unsigned int i)
{
	struct blk_copy_entry *a = &token->entry[i], *b = a + 1;

	if (i + 1 >= token->nr_entries || !blk_copy_entry_contiguous(a, b) ||
	    !blk_copy_entry_same_kind(a, b))
		return false;
	a->len += b->len;
	blk_copy_entry_remove(token, i + 1);
	return true;
}

/**
 * blk_copy_token_fill - put a reference into a token
 * @token:	the token
 * @new:	the entry; its pins are found by offset
 *
 * Replaces whatever the layer held at these offsets, pins included: a COPY_IN
 * that a stacking driver requeued comes a second time, perhaps to another
 * place.
 *
 * Context: any.
 * Return: BLK_STS_OK, or BLK_STS_NOTSUPP with BLK_COPY_TOKEN_OVERFLOW set.
 */
blk_status_t blk_copy_token_fill(struct blk_copy_token *token,
				 const struct blk_copy_entry *new)
{
	struct blk_copy_entry e = *new;
	unsigned long flags;
	unsigned int i;
	bool ok;

	spin_lock_irqsave(&token->lock, flags);
	e.pins = blk_copy_span_pins(token, e.layer, e.off, e.len);
	ok = blk_copy_entry_clear(token, e.layer, e.off, blk_copy_entry_end(&e));
	if (ok) {
		struct blk_copy_entry *prev;

		i = blk_copy_entry_at(token, e.layer, e.off);
		prev = i ? &token->entry[i - 1] : NULL;
		if (prev && blk_copy_entry_contiguous(prev, &e) &&
		    blk_copy_entry_same_kind(prev, &e)) {
			prev->len += e.len;
			blk_copy_entry_coalesce(token, i - 1);
		} else {
			ok = blk_copy_entry_insert(token, i, &e);
			if (ok)
				blk_copy_entry_coalesce(token, i);
		}
	}
	spin_unlock_irqrestore(&token->lock, flags);
	if (ok)
		return BLK_STS_OK;
	set_bit(BLK_COPY_TOKEN_OVERFLOW, &token->flags);
	return BLK_STS_NOTSUPP;
}

/* ----------------------------------------------------- life of a token */

static void blk_copy_layer_init(struct blk_copy_token *token, unsigned int i)
{
	token->layer[i].token = token;
	token->layer[i].bv.bv_page = NULL;
	token->layer[i].bv.bv_len = BLK_COPY_BV_LEN;
	token->layer[i].bv.bv_offset = 0;
}

/**
 * blk_copy_token_init - make an empty token
 * @token:	the token, new or released
 * @len:	bytes of its address space, less than BLK_COPY_TOKEN_MAX_BYTES
 */
void blk_copy_token_init(struct blk_copy_token *token, u32 len)
{
	spin_lock_init(&token->lock);
	token->flags = 0;
	token->len = len;
	token->nr_entries = 0;
	token->nr_spans = 0;
	token->nr_pins = 0;
	token->nr_layers = 1;
	blk_copy_layer_init(token, 0);
	blk_copy_map_init(&token->done);
}

/**
 * blk_copy_token_release - drop what a token refers to
 * @token:	the token; none of its bios is in flight
 */
void blk_copy_token_release(struct blk_copy_token *token)
{
	while (token->nr_entries)
		blk_copy_entry_remove(token, token->nr_entries - 1);
	while (token->nr_pins)
		blk_copy_pin_put(token->pin[--token->nr_pins].pin);
	token->nr_spans = 0;
}

/**
 * blk_copy_token_new_layer - another filling, for one leg of a mirror
 * @token:	the token
 *
 * Context: any.
 * Return: what bi_io_vec of the leg's COPY_IN points at, NULL if none is left.
 */
struct bio_vec *blk_copy_token_new_layer(struct blk_copy_token *token)
{
	struct bio_vec *bv = NULL;
	unsigned long flags;

	spin_lock_irqsave(&token->lock, flags);
	if (token->nr_layers < BLK_COPY_TOKEN_LAYERS) {
		blk_copy_layer_init(token, token->nr_layers);
		bv = &token->layer[token->nr_layers++].bv;
	}
	spin_unlock_irqrestore(&token->lock, flags);
	return bv;
}

static blk_status_t blk_copy_prepare_leaf(struct blk_copy_token *token,
					  const struct blk_copy_entry *first)
{
	blk_status_t status = BLK_STS_NOTSUPP;
	unsigned int i;
	u32 pins = 0;

	for (i = 0; i < token->nr_entries; i++)
		if (token->entry[i].leaf == first->leaf &&
		    token->entry[i].ops == first->ops)
			pins |= token->entry[i].pins;
	if (!blk_copy_pins_hold(token, pins)) {
		set_bit(BLK_COPY_TOKEN_STALE, &token->flags);
		return status;
	}
	status = first->ops->prepare(token, first->leaf);
	blk_copy_pins_unhold(token, pins);
	return status;
}

/**
 * blk_copy_token_prepare - let leaves make their references usable
 * @token:	the token; all its COPY_INs have ended
 *
 * Calls the driver once per leaf that needs commands for that.
 *
 * Context: may sleep; the caller holds no tag and no lock.
 * Return: BLK_STS_OK or the first error of a leaf.
 */
blk_status_t blk_copy_token_prepare(struct blk_copy_token *token)
{
	unsigned int i;

	for (i = 0; i < token->nr_entries; i++) {
		struct blk_copy_entry *e = &token->entry[i];
		blk_status_t status;

		if (e->state == BLK_COPY_READY)
			continue;
		if (!e->ops->prepare)
			return BLK_STS_NOTSUPP;
		status = blk_copy_prepare_leaf(token, e);
		if (status != BLK_STS_OK)
			return status;
		if (WARN_ON_ONCE(token->entry[i].state != BLK_COPY_READY))
			return BLK_STS_NOTSUPP;
	}
	return BLK_STS_OK;
}

/* -------------------------------------------------------------- ranges */

/**
 * blk_copy_range_start - begin to walk the source ranges of a slice
 * @iter:	the iterator
 * @token:	the token, filled without gaps over the slice
 * @layer:	which filling
 * @off:	first byte of the slice
 * @len:	bytes of the slice
 * @max_bytes:	longest range that the destination takes
 */
void blk_copy_range_start(struct blk_copy_range_iter *iter,
			  const struct blk_copy_token *token, u8 layer,
			  u32 off, u32 len, u32 max_bytes)
{
	iter->token = token;
	iter->layer = layer;
	iter->off = off;
	iter->end = off + len;
	iter->max_bytes = max_bytes;
	iter->idx = blk_copy_entry_at(token, layer, off);
}

/**
 * blk_copy_range_iter_init - begin to walk the ranges of a COPY_OUT command
 * @iter:	the iterator
 * @bio:	the COPY_OUT
 * @hold:	what blk_copy_out_begin() filled in for it
 * @max_range_bytes: longest range that the destination takes, as given there
 */
void blk_copy_range_iter_init(struct blk_copy_range_iter *iter,
			      const struct bio *bio,
			      const struct blk_copy_hold *hold,
			      u32 max_range_bytes)
{
	blk_copy_range_start(iter, hold->token, hold->layer,
			     bio_copy_offset(bio), bio->bi_iter.bi_size,
			     max_range_bytes);
}
EXPORT_SYMBOL_GPL(blk_copy_range_iter_init);

/* Bytes from a sector of an entry to the end of its zone */
static u32 blk_copy_zone_rest(const struct blk_copy_entry *e, sector_t sector)
{
	sector_t zone = 1ULL << e->zone_shift;

	if (!e->zone_shift)
		return U32_MAX;
	return min_t(u64, (zone - (sector & (zone - 1))) << SECTOR_SHIFT,
		     U32_MAX);
}

/**
 * blk_copy_range_iter_next - step to the next source range
 * @iter:	the iterator; entry, sector and bytes are set
 *
 * Entries that continue each other on the medium make one range even if their
 * pins differ.  Splitting and the drivers use this same walk, so that they
 * agree on the number of ranges.
 *
 * Context: any.
 * Return: false behind the end, or at a gap.
 */
bool blk_copy_range_iter_next(struct blk_copy_range_iter *iter)
{
	const struct blk_copy_token *token = iter->token;
	const struct blk_copy_entry *e = &token->entry[iter->idx], *last = e;
	u32 limit, stop;

	if (iter->off >= iter->end || iter->idx >= token->nr_entries ||
	    e->layer != iter->layer || e->off > iter->off)
		return false;

	iter->sector = e->sector + ((iter->off - e->off) >> SECTOR_SHIFT);
	limit = min3(iter->max_bytes, e->max_bytes,
		     blk_copy_zone_rest(e, iter->sector));
	while (blk_copy_entry_end(last) < iter->end &&
	       blk_copy_entry_end(last) - iter->off < limit &&
	       last + 1 < token->entry + token->nr_entries &&
	       blk_copy_entry_contiguous(last, last + 1)) {
		last++;
		limit = min(limit, last->max_bytes);
	}
	stop = min(blk_copy_entry_end(last), iter->end);

	iter->entry = e;
	iter->bytes = min(stop - iter->off, limit);
	iter->off += iter->bytes;
	iter->idx = blk_copy_entry_at(token, iter->layer, iter->off);
	return true;
}
EXPORT_SYMBOL_GPL(blk_copy_range_iter_next);

/* ------------------------------------------------- what leaves call */

static u8 blk_copy_zone_shift(struct block_device *bdev)
{
	unsigned int sectors = bdev_get_queue(bdev)->limits.chunk_sectors;

	return bdev_is_zoned(bdev) && sectors ? ilog2(sectors) : 0;
}

/**
 * blk_copy_in_end - a leaf answers a COPY_IN with a reference and ends it
 * @bio:	the COPY_IN, remapped to the leaf's whole disk
 * @ops:	the driver
 * @leaf:	identity of the leaf
 * @max_range_bytes: longest range that this source takes in one command
 *
 * Devices with zones take no range that is in more than one of them, as for reads.
 *
 * Context: any.
 */
void blk_copy_in_end(struct bio *bio, const struct blk_copy_leaf_ops *ops,
		     void *leaf, u32 max_range_bytes)
{
	struct blk_copy_entry e = {
		.off		= bio_copy_offset(bio),
		.len		= bio->bi_iter.bi_size,
		.sector		= bio->bi_iter.bi_sector,
		.leaf		= leaf,
		.ops		= ops,
		.max_bytes	= max_range_bytes,
		.layer		= bio_copy_layer(bio),
		.state		= ops->prepare ? BLK_COPY_REF : BLK_COPY_READY,
		.zone_shift	= blk_copy_zone_shift(bio->bi_bdev),
	};

	bio->bi_status = blk_copy_token_fill(bio_copy_token(bio), &e);
	bio_endio(bio);
}
EXPORT_SYMBOL_GPL(blk_copy_in_end);

static bool blk_copy_entry_usable(const struct blk_copy_entry *e,
				  const struct blk_copy_leaf_ops *ops,
				  const void *leaf, bool own)
{
	return e->ops == ops && e->state == BLK_COPY_READY &&
		(e->leaf == leaf) == own && (own || ops->reachable);
}

/*
 * Can this leaf execute the slice from this layer?  It must be gap-free and
 * come from one source, which is the leaf itself (own) or another one: whether that
 * is in its reach can only be asked when the pins are held, since without them
 * it may be gone.
 */
static bool blk_copy_layer_usable(const struct blk_copy_token *token, u8 layer,
				  const struct bio *bio,
				  const struct blk_copy_leaf_ops *ops,
				  const void *leaf, bool own, u32 *pins,
				  void **source)
{
	u32 off = bio_copy_offset(bio), end = off + bio->bi_iter.bi_size;
	const struct blk_copy_entry *e, *first = NULL;
	unsigned int i;

	*pins = 0;
	for (i = blk_copy_entry_at(token, layer, off); off < end; i++) {
		e = &token->entry[i];
		if (i >= token->nr_entries || e->layer != layer || e->off > off)
			return false;
		if (!first)
			first = e;
		if (e->leaf != first->leaf ||
		    !blk_copy_entry_usable(e, ops, leaf, own))
			return false;
		*pins |= e->pins;
		off = blk_copy_entry_end(e);
	}
	*source = first->leaf;
	return true;
}

static void blk_copy_hold_fill(struct blk_copy_hold *hold, const struct bio *bio,
			       u8 layer, u32 pins, u32 max_range_bytes)
{
	struct blk_copy_range_iter iter;

	hold->token = bio_copy_token(bio);
	hold->node = NULL;
	hold->layer = layer;
	hold->pins = pins;
	hold->nr_ranges = 0;
	blk_copy_range_iter_init(&iter, bio, hold, max_range_bytes);
	while (blk_copy_range_iter_next(&iter))
		hold->nr_ranges++;
}

static void blk_copy_mark_done(struct blk_copy_token *token,
			       const struct bio *bio)
{
	unsigned long flags;

	spin_lock_irqsave(&token->lock, flags);
	blk_copy_map_add(&token->done, bio_copy_offset(bio),
			 bio->bi_iter.bi_size);
	spin_unlock_irqrestore(&token->lock, flags);
}

/**
 * blk_copy_out_begin - a leaf starts the command of a COPY_OUT
 * @bio:	the COPY_OUT, remapped to the leaf
 * @ops:	the driver
 * @leaf:	identity of the leaf
 * @max_range_bytes: longest range that this destination takes
 * @hold:	zeroed but for via; says which layer to read and how many ranges that is
 *
 * Picks a filling of the token that the leaf can execute, its own data first,
 * and checks that no pin of it has changed.  From here to blk_copy_out_end() no
 * stacked device that the references came through can change its mapping.
 *
 * A driver makes its own checks before: on a dry run this function marks the
 * slice and fails, and nothing may follow.  A request that the block layer sends
 * once more after that calls it, and marks the slice, again.
 *
 * Context: any.
 * Return: BLK_STS_OK with @hold taken, or BLK_STS_NOTSUPP with @hold empty.
 */
blk_status_t blk_copy_out_begin(struct bio *bio,
				const struct blk_copy_leaf_ops *ops, void *leaf,
				u32 max_range_bytes, struct blk_copy_hold *hold)
{
	struct blk_copy_token *token = bio_copy_token(bio);
	unsigned int i;
	void *source;
	u32 pins;

	for (i = 0; i < 2 * token->nr_layers; i++) {
		u8 layer = i % token->nr_layers;
		bool own = i < token->nr_layers;

		if (!blk_copy_layer_usable(token, layer, bio, ops, leaf, own,
					   &pins, &source))
			continue;
		if (!blk_copy_pins_hold(token, pins)) {
			set_bit(BLK_COPY_TOKEN_STALE, &token->flags);
			continue;
		}
		if (!own && !ops->reachable(leaf, source, hold->via)) {
			blk_copy_pins_unhold(token, pins);
			continue;
		}
		if (test_bit(BLK_COPY_TOKEN_DRY_RUN, &token->flags)) {
			blk_copy_pins_unhold(token, pins);
			blk_copy_mark_done(token, bio);
			return BLK_STS_NOTSUPP;
		}
		blk_copy_hold_fill(hold, bio, layer, pins, max_range_bytes);
		return BLK_STS_OK;
	}
	return BLK_STS_NOTSUPP;
}
EXPORT_SYMBOL_GPL(blk_copy_out_begin);

static void blk_copy_count_command(struct gendisk *disk, const struct bio *bio,
				   const struct blk_copy_hold *hold,
				   enum blk_copy_outcome outcome)
{
	if (outcome == BLK_COPY_DONE) {
		blk_copy_stat_add(disk, BLK_COPY_STAT_COMMANDS, 1);
		blk_copy_stat_add(disk, BLK_COPY_STAT_RANGES, hold->nr_ranges);
		blk_copy_stat_add(disk, BLK_COPY_STAT_COMMAND_BYTES,
				  bio->bi_iter.bi_size);
	} else if (outcome != BLK_COPY_REFUSED) {
		blk_copy_stat_add(disk, BLK_COPY_STAT_COMMAND_ERRORS, 1);
	}
}

/**
 * blk_copy_out_end - the command of a COPY_OUT is over
 * @bio:	the COPY_OUT, not ended yet
 * @hold:	what blk_copy_out_begin() filled; empty afterwards
 * @outcome:	what became of it
 *
 * Does nothing for an empty @hold, so that cleanup paths may call it always.
 *
 * Context: any.
 */
void blk_copy_out_end(struct bio *bio, struct blk_copy_hold *hold,
		      enum blk_copy_outcome outcome)
{
	struct blk_copy_token *token = hold->token;

	if (!token)
		return;
	if (outcome == BLK_COPY_DONE)
		blk_copy_mark_done(token, bio);
	else if (outcome != BLK_COPY_REFUSED)
		set_bit(BLK_COPY_TOKEN_DEV_ERROR, &token->flags);
	if (outcome == BLK_COPY_LOST)
		set_bit(BLK_COPY_TOKEN_LOST, &token->flags);
	blk_copy_count_command(bio->bi_bdev->bd_disk, bio, hold, outcome);
	if (hold->node)
		blk_copy_count_command(hold->node, bio, hold, outcome);
	blk_copy_pins_unhold(token, hold->pins);
	hold->token = NULL;
}
EXPORT_SYMBOL_GPL(blk_copy_out_end);
