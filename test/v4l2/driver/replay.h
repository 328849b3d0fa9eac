/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PEERCAM_REPLAY_H
#define PEERCAM_REPLAY_H

#include <linux/types.h>
#include <media/v4l2-ctrls.h>
#include <media/v4l2-device.h>
#include <media/videobuf2-v4l2.h>

#define REPLAY_NAME "peercam_replay"

struct clip_frame {
	const u8 *data;
	u32 headers; /* leading bytes of data: SPS and PPS */
	u32 length;  /* with the headers */
	bool key;
};

struct clip {
	void *file;
	u32 width, height, fps, count, longest;
	struct clip_frame *frames;
};

extern struct clip clip;

/* Reads a file of the form written by test/v4l2/clip.ts. */
int clip_load(const char *path);
void clip_free(void);

/* One reader's place in the clip, steered by codec controls. */
struct reel {
	struct v4l2_ctrl_handler controls;
	struct v4l2_ctrl *gop, *repeat_headers;
	u32 position, since_key;
	bool first, force_key;
};

int reel_init(struct reel *reel);
void reel_rewind(struct reel *reel);
/* Writes the next frame to plane 0 of a capture buffer; marks it done-able (payload, keyframe flag). */
void reel_write(struct reel *reel, struct vb2_v4l2_buffer *buffer);

struct replay_buffer {
	struct vb2_v4l2_buffer vb; /* must be first */
	struct list_head list;
};

static inline struct replay_buffer *to_replay_buffer(struct vb2_buffer *vb)
{
	return container_of(to_vb2_v4l2_buffer(vb), struct replay_buffer, vb);
}

/* Module parameters; see module.c. */
extern bool replay_multiplanar;
extern bool replay_stalled;
extern unsigned int replay_input_crc;
/* Takes one from the number of frames to lose; false when it is 0. */
bool replay_skip_one(void);

struct capture;
struct capture *capture_plug(struct v4l2_device *parent);
void capture_fail(struct capture *capture);
/* Unregisters, also while streaming; the rest goes with the last open file. */
void capture_unplug(struct capture *capture);

struct encoder;
struct encoder *encoder_plug(struct v4l2_device *parent);
void encoder_fail(struct encoder *encoder);
void encoder_unplug(struct encoder *encoder);

#endif
