// SPDX-License-Identifier: GPL-2.0
/* An "encoder" whose pictures are those of the clip: it cannot compress, but it can choose where to go on. */
#include "replay.h"

static int set_control(struct v4l2_ctrl *control)
{
	struct reel *reel = container_of(control->handler, struct reel, controls);

	if (control->id == V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME)
		WRITE_ONCE(reel->force_key, true);
	return 0;
}

static const struct v4l2_ctrl_ops control_ops = { .s_ctrl = set_control };

int reel_init(struct reel *reel)
{
	struct v4l2_ctrl_handler *controls = &reel->controls;

	v4l2_ctrl_handler_init(controls, 4);
	v4l2_ctrl_new_std(controls, &control_ops, V4L2_CID_MPEG_VIDEO_BITRATE, 25000, 25000000, 25000, 1000000);
	reel->gop = v4l2_ctrl_new_std(controls, &control_ops, V4L2_CID_MPEG_VIDEO_GOP_SIZE, 1, 1000, 1, 1000);
	v4l2_ctrl_new_std(controls, &control_ops, V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME, 0, 0, 0, 0);
	reel->repeat_headers = v4l2_ctrl_new_std(controls, &control_ops, V4L2_CID_MPEG_VIDEO_REPEAT_SEQ_HEADER, 0, 1, 1, 0);
	return controls->error;
}

void reel_rewind(struct reel *reel)
{
	reel->position = 0;
	reel->since_key = 0;
	reel->first = true;
	WRITE_ONCE(reel->force_key, false);
}

/* Only an IDR may be jumped to: everything before it is then not needed to decode on. */
static void go_to_key_frame(struct reel *reel)
{
	while (!clip.frames[reel->position].key)
		reel->position = (reel->position + 1) % clip.count;
}

void reel_write(struct reel *reel, struct vb2_v4l2_buffer *buffer)
{
	struct vb2_buffer *vb = &buffer->vb2_buf;
	const struct clip_frame *frame;
	u32 skip, length;
	bool due = reel->since_key >= v4l2_ctrl_g_ctrl(reel->gop);

	if (xchg(&reel->force_key, false) || due)
		go_to_key_frame(reel);
	frame = &clip.frames[reel->position];
	reel->position = (reel->position + 1) % clip.count;
	reel->since_key = frame->key ? 1 : reel->since_key + 1;

	skip = reel->first || v4l2_ctrl_g_ctrl(reel->repeat_headers) ? 0 : frame->headers;
	reel->first = false;
	length = min_t(u32, frame->length - skip, vb2_plane_size(vb, 0));
	memcpy(vb2_plane_vaddr(vb, 0), frame->data + skip, length);
	vb2_set_plane_payload(vb, 0, length);
	buffer->field = V4L2_FIELD_NONE;
	buffer->flags &= ~(V4L2_BUF_FLAG_KEYFRAME | V4L2_BUF_FLAG_PFRAME);
	buffer->flags |= frame->key ? V4L2_BUF_FLAG_KEYFRAME : V4L2_BUF_FLAG_PFRAME;
}
