// SPDX-License-Identifier: GPL-2.0
/*
 * A memory-to-memory encoder: per open file one queue of raw pictures and one of coded frames. Written on videobuf2
 * alone, because Debian's amd64 kernel lacks v4l2-mem2mem; poll() answers as that framework does.
 */
#include <linux/crc32.h>
#include <linux/slab.h>
#include <media/v4l2-event.h>
#include <media/v4l2-fh.h>
#include <media/v4l2-ioctl.h>
#include <media/videobuf2-vmalloc.h>

#include "replay.h"

/* mmap offsets of the coded queue start here, as in v4l2-mem2mem. */
#define CODED_OFFSET (1ul << 30)

struct encoder {
	struct video_device video;
	struct mutex lock;
	struct list_head sessions;
};

struct session {
	struct v4l2_fh fh;
	struct encoder *encoder;
	struct list_head list;
	struct vb2_queue raw, coded;
	struct reel reel;
	spinlock_t ready_lock;
	struct list_head raw_ready, coded_ready;
	struct work_struct work;
	u32 width, height;   /* of the raw format, in whole blocks */
	struct v4l2_rect crop;
	struct v4l2_fract interval;
	u32 sequence;
};

static struct session *session_of(struct file *file)
{
	return container_of(file->private_data, struct session, fh);
}

/* Wider than any camera's, so that a copy that ignores strides shows. */
static u32 stride(const struct session *session)
{
	return ALIGN(session->width, 64) + 64;
}

static u32 luma_size(const struct session *session)
{
	return stride(session) * session->height;
}

static u32 coded_size(void)
{
	return PAGE_ALIGN(clip.longest);
}

/* ---- encoding */

static u32 crc_of_area(u32 crc, const u8 *from, u32 line, u32 width, u32 rows)
{
	u32 row;

	for (row = 0; row < rows; row++)
		crc = crc32_le(crc, from + row * line, width);
	return crc;
}

/* What the hardware would have seen: the visible picture, without padding. */
static void note_input(const struct session *session, struct vb2_buffer *vb)
{
	const u8 *luma = vb2_plane_vaddr(vb, 0);
	const u8 *chroma = replay_multiplanar ? vb2_plane_vaddr(vb, 1) : luma + luma_size(session);
	u32 crc = crc_of_area(~0, luma, stride(session), session->crop.width, session->crop.height);

	crc = crc_of_area(crc, chroma, stride(session), session->crop.width, session->crop.height / 2);
	WRITE_ONCE(replay_input_crc, ~crc);
}

static bool take_pair(struct session *session, struct replay_buffer **raw, struct replay_buffer **coded)
{
	unsigned long flags;

	spin_lock_irqsave(&session->ready_lock, flags);
	*raw = list_first_entry_or_null(&session->raw_ready, struct replay_buffer, list);
	*coded = list_first_entry_or_null(&session->coded_ready, struct replay_buffer, list);
	if (*raw && *coded) {
		list_del(&(*raw)->list);
		list_del(&(*coded)->list);
	}
	spin_unlock_irqrestore(&session->ready_lock, flags);
	return *raw && *coded;
}

static void encode(struct work_struct *work)
{
	struct session *session = container_of(work, struct session, work);
	struct replay_buffer *raw, *coded;

	while (!replay_stalled && take_pair(session, &raw, &coded)) {
		if (replay_skip_one())
			session->sequence++;
		note_input(session, &raw->vb.vb2_buf);
		reel_write(&session->reel, &coded->vb);
		coded->vb.vb2_buf.timestamp = raw->vb.vb2_buf.timestamp;
		coded->vb.sequence = session->sequence;
		raw->vb.sequence = session->sequence++;
		vb2_buffer_done(&raw->vb.vb2_buf, VB2_BUF_STATE_DONE);
		vb2_buffer_done(&coded->vb.vb2_buf, VB2_BUF_STATE_DONE);
	}
}

/* ---- videobuf2 */

static u32 plane_size(const struct session *session, bool raw, u32 plane)
{
	if (!raw)
		return coded_size();
	if (replay_multiplanar)
		return plane ? luma_size(session) / 2 : luma_size(session);
	return luma_size(session) * 3 / 2;
}

static u32 plane_count(bool raw)
{
	return raw && replay_multiplanar ? 2 : 1;
}

static int queue_setup(struct vb2_queue *queue, unsigned int *buffers, unsigned int *planes, unsigned int sizes[],
		       struct device *devices[])
{
	struct session *session = vb2_get_drv_priv(queue);
	bool raw = queue == &session->raw;
	u32 i;

	if (*planes)
		return -EINVAL;
	*planes = plane_count(raw);
	for (i = 0; i < *planes; i++)
		sizes[i] = plane_size(session, raw, i);
	return 0;
}

static int buf_out_validate(struct vb2_buffer *vb)
{
	to_vb2_v4l2_buffer(vb)->field = V4L2_FIELD_NONE;
	return 0;
}

/* An encoder must be given whole pictures. */
static int buf_prepare(struct vb2_buffer *vb)
{
	struct session *session = vb2_get_drv_priv(vb->vb2_queue);
	u32 i;

	if (vb->vb2_queue != &session->raw)
		return 0;
	for (i = 0; i < vb->num_planes; i++)
		if (vb2_get_plane_payload(vb, i) < plane_size(session, true, i))
			return -EINVAL;
	return 0;
}

static void buf_queue(struct vb2_buffer *vb)
{
	struct session *session = vb2_get_drv_priv(vb->vb2_queue);
	bool raw = vb->vb2_queue == &session->raw;
	unsigned long flags;

	spin_lock_irqsave(&session->ready_lock, flags);
	list_add_tail(&to_replay_buffer(vb)->list, raw ? &session->raw_ready : &session->coded_ready);
	spin_unlock_irqrestore(&session->ready_lock, flags);
	schedule_work(&session->work);
}

static int start_streaming(struct vb2_queue *queue, unsigned int count)
{
	struct session *session = vb2_get_drv_priv(queue);

	if (queue == &session->coded) {
		session->sequence = 0;
		reel_rewind(&session->reel);
	}
	schedule_work(&session->work);
	return 0;
}

static void stop_streaming(struct vb2_queue *queue)
{
	struct session *session = vb2_get_drv_priv(queue);
	struct list_head *ready = queue == &session->raw ? &session->raw_ready : &session->coded_ready;
	struct replay_buffer *buffer, *next;
	LIST_HEAD(taken);
	unsigned long flags;

	cancel_work_sync(&session->work);
	spin_lock_irqsave(&session->ready_lock, flags);
	list_splice_init(ready, &taken);
	spin_unlock_irqrestore(&session->ready_lock, flags);
	list_for_each_entry_safe(buffer, next, &taken, list)
		vb2_buffer_done(&buffer->vb.vb2_buf, VB2_BUF_STATE_ERROR);
}

static const struct vb2_ops queue_ops = {
	.queue_setup = queue_setup,
	.buf_out_validate = buf_out_validate,
	.buf_prepare = buf_prepare,
	.buf_queue = buf_queue,
	.start_streaming = start_streaming,
	.stop_streaming = stop_streaming,
	.wait_prepare = vb2_ops_wait_prepare,
	.wait_finish = vb2_ops_wait_finish,
};

static int init_queue(struct session *session, struct vb2_queue *queue, u32 type)
{
	queue->type = type;
	queue->io_modes = VB2_MMAP;
	queue->drv_priv = session;
	queue->buf_struct_size = sizeof(struct replay_buffer);
	queue->ops = &queue_ops;
	queue->mem_ops = &vb2_vmalloc_memops;
	queue->timestamp_flags = V4L2_BUF_FLAG_TIMESTAMP_COPY;
	queue->lock = &session->encoder->lock;
	return vb2_queue_init(queue);
}

static struct vb2_queue *queue_for(struct file *file, u32 type)
{
	struct session *session = session_of(file);

	return V4L2_TYPE_IS_OUTPUT(type) ? &session->raw : &session->coded;
}

/* ---- ioctls */

static int querycap(struct file *file, void *priv, struct v4l2_capability *cap)
{
	strscpy(cap->driver, REPLAY_NAME, sizeof(cap->driver));
	strscpy(cap->card, "peercam replay encoder", sizeof(cap->card));
	strscpy(cap->bus_info, "platform:" REPLAY_NAME, sizeof(cap->bus_info));
	return 0;
}

static u32 raw_format(void)
{
	return replay_multiplanar ? V4L2_PIX_FMT_NV12M : V4L2_PIX_FMT_NV12;
}

static int enum_coded(struct file *file, void *priv, struct v4l2_fmtdesc *format)
{
	if (format->index)
		return -EINVAL;
	format->pixelformat = V4L2_PIX_FMT_H264;
	format->flags = V4L2_FMT_FLAG_COMPRESSED;
	return 0;
}

static int enum_raw(struct file *file, void *priv, struct v4l2_fmtdesc *format)
{
	if (format->index)
		return -EINVAL;
	format->pixelformat = raw_format();
	return 0;
}

static int get_fmt(struct file *file, void *priv, struct v4l2_format *format)
{
	struct session *session = session_of(file);
	bool raw = V4L2_TYPE_IS_OUTPUT(format->type);
	u32 fourcc = raw ? raw_format() : V4L2_PIX_FMT_H264;
	u32 i;

	if (replay_multiplanar) {
		format->fmt.pix_mp = (struct v4l2_pix_format_mplane){
			.width = session->width, .height = session->height, .pixelformat = fourcc,
			.field = V4L2_FIELD_NONE, .colorspace = V4L2_COLORSPACE_REC709, .num_planes = plane_count(raw),
		};
		for (i = 0; i < plane_count(raw); i++) {
			format->fmt.pix_mp.plane_fmt[i].sizeimage = plane_size(session, raw, i);
			format->fmt.pix_mp.plane_fmt[i].bytesperline = raw ? stride(session) : 0;
		}
	} else {
		format->fmt.pix = (struct v4l2_pix_format){
			.width = session->width, .height = session->height, .pixelformat = fourcc,
			.field = V4L2_FIELD_NONE, .colorspace = V4L2_COLORSPACE_REC709,
			.sizeimage = plane_size(session, raw, 0), .bytesperline = raw ? stride(session) : 0,
		};
	}
	return 0;
}

static int set_fmt(struct file *file, void *priv, struct v4l2_format *format)
{
	struct session *session = session_of(file);
	u32 width = replay_multiplanar ? format->fmt.pix_mp.width : format->fmt.pix.width;
	u32 height = replay_multiplanar ? format->fmt.pix_mp.height : format->fmt.pix.height;

	if (vb2_is_busy(queue_for(file, format->type)))
		return -EBUSY;
	if (V4L2_TYPE_IS_OUTPUT(format->type)) {
		session->width = ALIGN(clamp(width, 16u, 4096u), 16);
		session->height = ALIGN(clamp(height, 16u, 4096u), 16);
		session->crop = (struct v4l2_rect){ 0, 0, session->width, session->height };
	}
	return get_fmt(file, priv, format);
}

static int set_selection(struct file *file, void *priv, struct v4l2_selection *selection)
{
	struct session *session = session_of(file);

	if (selection->target != V4L2_SEL_TGT_CROP || !V4L2_TYPE_IS_OUTPUT(selection->type))
		return -EINVAL;
	session->crop = (struct v4l2_rect){ 0, 0, min(selection->r.width, session->width),
					    min(selection->r.height, session->height) };
	selection->r = session->crop;
	return 0;
}

static int get_parm(struct file *file, void *priv, struct v4l2_streamparm *parm)
{
	if (!V4L2_TYPE_IS_OUTPUT(parm->type))
		return -EINVAL;
	parm->parm.output.capability = V4L2_CAP_TIMEPERFRAME;
	parm->parm.output.timeperframe = session_of(file)->interval;
	return 0;
}

static int set_parm(struct file *file, void *priv, struct v4l2_streamparm *parm)
{
	struct v4l2_fract wish = parm->parm.output.timeperframe;

	if (V4L2_TYPE_IS_OUTPUT(parm->type) && wish.numerator && wish.denominator)
		session_of(file)->interval = wish;
	return get_parm(file, priv, parm);
}

static int reqbufs(struct file *file, void *priv, struct v4l2_requestbuffers *request)
{
	return vb2_reqbufs(queue_for(file, request->type), request);
}

static int querybuf(struct file *file, void *priv, struct v4l2_buffer *buffer)
{
	int error = vb2_querybuf(queue_for(file, buffer->type), buffer);

	if (error || V4L2_TYPE_IS_OUTPUT(buffer->type))
		return error;
	if (replay_multiplanar)
		buffer->m.planes[0].m.mem_offset += CODED_OFFSET;
	else
		buffer->m.offset += CODED_OFFSET;
	return 0;
}

static int qbuf(struct file *file, void *priv, struct v4l2_buffer *buffer)
{
	return vb2_qbuf(queue_for(file, buffer->type), NULL, buffer);
}

static int dqbuf(struct file *file, void *priv, struct v4l2_buffer *buffer)
{
	return vb2_dqbuf(queue_for(file, buffer->type), buffer, file->f_flags & O_NONBLOCK);
}

static int streamon(struct file *file, void *priv, enum v4l2_buf_type type)
{
	return vb2_streamon(queue_for(file, type), type);
}

static int streamoff(struct file *file, void *priv, enum v4l2_buf_type type)
{
	return vb2_streamoff(queue_for(file, type), type);
}

static const struct v4l2_ioctl_ops ioctl_ops = {
	.vidioc_querycap = querycap,
	.vidioc_enum_fmt_vid_cap = enum_coded,
	.vidioc_enum_fmt_vid_out = enum_raw,
	.vidioc_g_fmt_vid_cap = get_fmt,
	.vidioc_s_fmt_vid_cap = set_fmt,
	.vidioc_g_fmt_vid_out = get_fmt,
	.vidioc_s_fmt_vid_out = set_fmt,
	.vidioc_g_fmt_vid_cap_mplane = get_fmt,
	.vidioc_s_fmt_vid_cap_mplane = set_fmt,
	.vidioc_g_fmt_vid_out_mplane = get_fmt,
	.vidioc_s_fmt_vid_out_mplane = set_fmt,
	.vidioc_s_selection = set_selection,
	.vidioc_g_parm = get_parm,
	.vidioc_s_parm = set_parm,
	.vidioc_reqbufs = reqbufs,
	.vidioc_querybuf = querybuf,
	.vidioc_qbuf = qbuf,
	.vidioc_dqbuf = dqbuf,
	.vidioc_streamon = streamon,
	.vidioc_streamoff = streamoff,
	.vidioc_subscribe_event = v4l2_ctrl_subscribe_event,
	.vidioc_unsubscribe_event = v4l2_event_unsubscribe,
};

/* ---- files */

static int open(struct file *file)
{
	struct encoder *encoder = video_drvdata(file);
	struct session *session = kzalloc(sizeof(*session), GFP_KERNEL);
	int error;

	if (!session)
		return -ENOMEM;
	session->encoder = encoder;
	spin_lock_init(&session->ready_lock);
	INIT_LIST_HEAD(&session->raw_ready);
	INIT_LIST_HEAD(&session->coded_ready);
	INIT_WORK(&session->work, encode);
	session->width = clip.width;
	session->height = ALIGN(clip.height, 16);
	session->crop = (struct v4l2_rect){ 0, 0, clip.width, clip.height };
	session->interval = (struct v4l2_fract){ 1, clip.fps };
	error = reel_init(&session->reel);
	if (!error)
		error = init_queue(session, &session->raw, replay_multiplanar ? V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE
									      : V4L2_BUF_TYPE_VIDEO_OUTPUT);
	if (!error)
		error = init_queue(session, &session->coded, replay_multiplanar ? V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE
										: V4L2_BUF_TYPE_VIDEO_CAPTURE);
	if (error) {
		v4l2_ctrl_handler_free(&session->reel.controls);
		kfree(session);
		return error;
	}
	v4l2_fh_init(&session->fh, &encoder->video);
	session->fh.ctrl_handler = &session->reel.controls; /* controls are per open file, as in real codecs */
	file->private_data = &session->fh;
	v4l2_fh_add(&session->fh);
	mutex_lock(&encoder->lock);
	list_add(&session->list, &encoder->sessions);
	mutex_unlock(&encoder->lock);
	return 0;
}

static int release(struct file *file)
{
	struct session *session = session_of(file);
	struct encoder *encoder = session->encoder;

	mutex_lock(&encoder->lock);
	list_del(&session->list);
	vb2_queue_release(&session->raw);
	vb2_queue_release(&session->coded);
	mutex_unlock(&encoder->lock);
	v4l2_fh_del(&session->fh);
	v4l2_fh_exit(&session->fh);
	v4l2_ctrl_handler_free(&session->reel.controls);
	kfree(session);
	return 0;
}

static bool has_nothing_queued(struct vb2_queue *queue)
{
	return !queue->streaming || queue->error || list_empty(&queue->queued_list);
}

static bool has_done(struct vb2_queue *queue)
{
	unsigned long flags;
	bool done;

	spin_lock_irqsave(&queue->done_lock, flags);
	done = !list_empty(&queue->done_list);
	spin_unlock_irqrestore(&queue->done_lock, flags);
	return done;
}

static __poll_t poll(struct file *file, poll_table *wait)
{
	struct session *session = session_of(file);
	__poll_t events = 0;

	poll_wait(file, &session->raw.done_wq, wait);
	poll_wait(file, &session->coded.done_wq, wait);
	poll_wait(file, &session->fh.wait, wait);
	mutex_lock(&session->encoder->lock);
	if (v4l2_event_pending(&session->fh))
		events |= EPOLLPRI;
	if (has_nothing_queued(&session->raw) && has_nothing_queued(&session->coded))
		events |= EPOLLERR;
	else {
		if (has_done(&session->raw))
			events |= EPOLLOUT | EPOLLWRNORM;
		if (has_done(&session->coded))
			events |= EPOLLIN | EPOLLRDNORM;
	}
	mutex_unlock(&session->encoder->lock);
	return events;
}

static int mmap(struct file *file, struct vm_area_struct *area)
{
	struct session *session = session_of(file);
	unsigned long offset = area->vm_pgoff << PAGE_SHIFT;

	if (offset < CODED_OFFSET)
		return vb2_mmap(&session->raw, area);
	area->vm_pgoff -= CODED_OFFSET >> PAGE_SHIFT;
	return vb2_mmap(&session->coded, area);
}

static const struct v4l2_file_operations file_ops = {
	.owner = THIS_MODULE,
	.open = open,
	.release = release,
	.poll = poll,
	.mmap = mmap,
	.unlocked_ioctl = video_ioctl2,
};

/* ---- life */

static void free_encoder(struct video_device *video)
{
	kfree(video_get_drvdata(video));
}

struct encoder *encoder_plug(struct v4l2_device *parent)
{
	struct encoder *encoder = kzalloc(sizeof(*encoder), GFP_KERNEL);
	struct video_device *video;
	int error;

	if (!encoder)
		return ERR_PTR(-ENOMEM);
	mutex_init(&encoder->lock);
	INIT_LIST_HEAD(&encoder->sessions);
	video = &encoder->video;
	strscpy(video->name, "peercam replay encoder", sizeof(video->name));
	video->fops = &file_ops;
	video->ioctl_ops = &ioctl_ops;
	video->release = free_encoder;
	video->v4l2_dev = parent;
	video->lock = &encoder->lock;
	video->vfl_dir = VFL_DIR_M2M;
	video->device_caps = V4L2_CAP_STREAMING | (replay_multiplanar ? V4L2_CAP_VIDEO_M2M_MPLANE : V4L2_CAP_VIDEO_M2M);
	video_set_drvdata(video, encoder);
	error = video_register_device(video, VFL_TYPE_VIDEO, -1);
	if (!error)
		return encoder;
	kfree(encoder);
	return ERR_PTR(error);
}

void encoder_fail(struct encoder *encoder)
{
	struct session *session;

	mutex_lock(&encoder->lock);
	list_for_each_entry(session, &encoder->sessions, list) {
		if (vb2_is_streaming(&session->raw))
			vb2_queue_error(&session->raw);
		if (vb2_is_streaming(&session->coded))
			vb2_queue_error(&session->coded);
	}
	mutex_unlock(&encoder->lock);
}

void encoder_unplug(struct encoder *encoder)
{
	get_device(&encoder->video.dev);
	video_unregister_device(&encoder->video);
	encoder_fail(encoder);
	put_device(&encoder->video.dev);
}
