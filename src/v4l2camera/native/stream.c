// Buffers: request, map, queue, dequeue, and how their content reaches JavaScript.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "device.h"

// ---- buffers

static int request_buffers(const Device *device, const Queue *queue, uint32_t *count) {
  struct v4l2_requestbuffers request = {.count = *count, .type = queue->type, .memory = V4L2_MEMORY_MMAP};
  int error = device_ioctl(device, VIDIOC_REQBUFS, &request);
  *count = request.count;
  return error;
}

static int map_buffer(const Device *device, Queue *queue, uint32_t index) {
  struct v4l2_plane planes[VIDEO_MAX_PLANES] = {0};
  struct v4l2_buffer description = {.index = index, .type = queue->type, .memory = V4L2_MEMORY_MMAP};
  bool multiplanar = type_is_multiplanar(queue->type);
  if (multiplanar) {
    description.m.planes = planes;
    description.length = VIDEO_MAX_PLANES;
  }
  int error = device_ioctl(device, VIDIOC_QUERYBUF, &description);
  if (error) return error;
  uint32_t count = multiplanar ? description.length : 1;
  if (count > VIDEO_MAX_PLANES) return EPROTO;
  Buffer *buffer = &queue->buffers[index];
  for (uint32_t i = 0; i < count; i++) {
    size_t length = multiplanar ? planes[i].length : description.length;
    off_t offset = multiplanar ? planes[i].m.mem_offset : description.m.offset;
    void *start = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, device->fd, offset);
    if (start == MAP_FAILED) return errno;
    buffer->planes[i] = (Plane){start, length};
    buffer->plane_count = i + 1;
  }
  return 0;
}

static int map_buffers(Device *device, Queue *queue, uint32_t wanted) {
  uint32_t granted = wanted;
  int error = request_buffers(device, queue, &granted);
  if (error) return error;
  if (granted == 0) return ENOMEM;
  queue->buffers = calloc(granted, sizeof *queue->buffers);
  if (!queue->buffers) return ENOMEM;
  queue->count = granted;
  for (uint32_t i = 0; i < granted && !error; i++) error = map_buffer(device, queue, i);
  return error;
}

// Whoever still holds a lent frame then sees an empty array instead of unmapped memory.
static void detach_view(Device *device, napi_ref *view) {
  if (!*view) return;
  napi_value array;
  if (napi_get_reference_value(device->env, *view, &array) == napi_ok && array)
    napi_detach_arraybuffer(device->env, array);
  napi_delete_reference(device->env, *view);
  *view = NULL;
}

static void unmap_buffers(Device *device, Queue *queue) {
  for (uint32_t i = 0; i < queue->count; i++) {
    Buffer *buffer = &queue->buffers[i];
    for (uint32_t j = 0; j < buffer->plane_count; j++) {
      detach_view(device, &buffer->views[j]);
      munmap(buffer->planes[j].start, buffer->planes[j].length);
    }
  }
  free(queue->buffers);
  queue->buffers = NULL;
  queue->count = 0;
}

// Gives buffer `index` to the driver; `used` (bytes per plane) and `timestamp` (µs) are for output only.
static int enqueue(const Device *device, Queue *queue, uint32_t index, const uint32_t *used, int64_t timestamp) {
  Buffer *buffer = &queue->buffers[index];
  struct v4l2_plane planes[VIDEO_MAX_PLANES] = {0};
  struct v4l2_buffer request = {
      .index = index, .type = queue->type, .memory = V4L2_MEMORY_MMAP, .field = V4L2_FIELD_NONE};
  bool output = type_is_output(queue->type);
  if (output) {
    request.timestamp.tv_sec = timestamp / 1000000;
    request.timestamp.tv_usec = timestamp % 1000000;
  }
  if (type_is_multiplanar(queue->type)) {
    request.m.planes = planes;
    request.length = buffer->plane_count;
    for (uint32_t i = 0; i < buffer->plane_count; i++) {
      planes[i].length = (uint32_t)buffer->planes[i].length;
      if (output) planes[i].bytesused = used[i];
    }
  } else if (output) {
    request.bytesused = used[0];
  }
  int error = device_ioctl(device, VIDIOC_QBUF, &request);
  if (!error) buffer->queued = true;
  return error;
}

void queue_stop(Device *device, Queue *queue) {
  bool was_streaming = queue->streaming, had_buffers = queue->count > 0;
  queue->streaming = false;
  queue->generation++;
  poll_update(device);  // fewer events to wait for: cannot fail
  // After an unplug the ioctls fail with ENODEV; there is nothing left to stop, and the mappings still go.
  int type = (int)queue->type;
  if (was_streaming) device_ioctl(device, VIDIOC_STREAMOFF, &type);
  unmap_buffers(device, queue);
  uint32_t none = 0;
  if (had_buffers) request_buffers(device, queue, &none);
  uint32_t references;
  if (was_streaming && !device->environment_ends) napi_reference_unref(device->env, device->self, &references);
}

// ---- delivery

typedef struct {
  struct v4l2_buffer buffer;
  struct v4l2_plane planes[VIDEO_MAX_PLANES];
} Dequeued;

static bool view_of_buffer(Device *device, Buffer *buffer, uint32_t plane, napi_value *array) {
  if (buffer->views[plane]) return napi_get_reference_value(device->env, buffer->views[plane], array) == napi_ok;
  Plane *memory = &buffer->planes[plane];
  return napi_create_external_arraybuffer(device->env, memory->start, memory->length, NULL, NULL, array) == napi_ok &&
         napi_create_reference(device->env, *array, 1, &buffer->views[plane]) == napi_ok;
}

static napi_value plane_data(Device *device, Queue *queue, Buffer *buffer, uint32_t plane, size_t offset, size_t length) {
  napi_value array, bytes;
  void *copy;
  if (queue->lend) {
    if (!view_of_buffer(device, buffer, plane, &array)) return NULL;
  } else {
    // Copying an H.264 frame costs microseconds, and the driver has its buffer back at once.
    if (napi_create_arraybuffer(device->env, length, &copy, &array) != napi_ok) return NULL;
    memcpy(copy, (uint8_t *)buffer->planes[plane].start + offset, length);
    offset = 0;
  }
  return napi_create_typedarray(device->env, napi_uint8_array, length, array, offset, &bytes) == napi_ok ? bytes : NULL;
}

// `*total` becomes the number of payload bytes.
static napi_value frame_planes(Device *device, Queue *queue, const Dequeued *frame, size_t *total) {
  bool multiplanar = type_is_multiplanar(queue->type);
  Buffer *buffer = &queue->buffers[frame->buffer.index];
  napi_value planes = js_array(device->env);
  *total = 0;
  for (uint32_t i = 0; i < buffer->plane_count; i++) {
    // The driver's word is checked against the mapping: bytesused counts from the start, data_offset included.
    size_t end = multiplanar ? frame->planes[i].bytesused : frame->buffer.bytesused;
    size_t offset = multiplanar ? frame->planes[i].data_offset : 0;
    if (end > buffer->planes[i].length) end = buffer->planes[i].length;
    if (offset > end) offset = end;
    *total += end - offset;
    napi_value data = plane_data(device, queue, buffer, i, offset, end - offset);
    if (!js_push(device->env, planes, i, data)) return NULL;
  }
  return planes;
}

static double timestamp_us(const struct v4l2_buffer *buffer) {
  uint32_t kind = buffer->flags & V4L2_BUF_FLAG_TIMESTAMP_MASK;
  if (kind == V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC || kind == V4L2_BUF_FLAG_TIMESTAMP_COPY)
    return (double)buffer->timestamp.tv_sec * 1e6 + (double)buffer->timestamp.tv_usec;
  struct timespec now;  // an old driver with an unknown clock: its arrival is the best we know
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e6 + (double)(now.tv_nsec / 1000);
}

// Frames the driver could not fill show as a gap in the sequence numbers.
static void count_gap(Queue *queue, uint32_t sequence) {
  uint32_t gap = sequence - queue->next_sequence;
  if (queue->sequence_known && gap < UINT32_MAX / 2) queue->lost += gap;
  queue->sequence_known = true;
  queue->next_sequence = sequence + 1;
}

static napi_value frame_object(Device *device, Queue *queue, const Dequeued *frame, napi_value planes) {
  napi_env env = device->env;
  const struct v4l2_buffer *buffer = &frame->buffer;
  napi_value object = js_object(env), keyframe;
  bool filled = napi_get_boolean(env, buffer->flags & V4L2_BUF_FLAG_KEYFRAME, &keyframe) == napi_ok &&
                js_put(env, object, "planes", planes) && js_put(env, object, "keyframe", keyframe) &&
                js_put_number(env, object, "timestampUs", timestamp_us(buffer)) &&
                js_put_number(env, object, "sequence", buffer->sequence) &&
                js_put_number(env, object, "dropped", queue->lost) &&
                js_put_number(env, object, "index", buffer->index) &&
                js_put_number(env, object, "generation", queue->generation);
  return filled ? object : NULL;
}

typedef enum { HANDLED, EMPTY, ENDED } Outcome;

static Outcome fail(Device *device, const char *syscall, int error) {
  device_fail(device, syscall, error);
  return ENDED;
}

// JavaScript can no longer run (a worker that is being terminated, perhaps inside this very call).
static Outcome gone(Device *device) {
  device->failed = true;
  poll_close(device);
  return ENDED;
}

static Outcome deliver_captured(Device *device, Queue *queue, const Dequeued *frame) {
  count_gap(queue, frame->buffer.sequence);
  size_t bytes;
  napi_value planes = frame_planes(device, queue, frame, &bytes);
  if (!planes) return gone(device);
  bool broken = (frame->buffer.flags & V4L2_BUF_FLAG_ERROR) || bytes == 0;  // UVC hands on torn transfers
  napi_value object = NULL;
  if (broken) {
    queue->lost++;
  } else {
    object = frame_object(device, queue, frame, planes);
    if (!object) return gone(device);
    queue->lost = 0;
  }
  if (!queue->lend || broken) {
    int error = enqueue(device, queue, frame->buffer.index, NULL, 0);
    if (error) return fail(device, "VIDIOC_QBUF", error);
  }
  return !object || device_call(device, "onframe", 1, &object) ? HANDLED : gone(device);
}

static Outcome dequeue(Device *device, Queue *queue) {
  Dequeued frame = {.buffer = {.type = queue->type, .memory = V4L2_MEMORY_MMAP}};
  if (type_is_multiplanar(queue->type)) {
    frame.buffer.m.planes = frame.planes;
    frame.buffer.length = VIDEO_MAX_PLANES;
  }
  int error = device_ioctl(device, VIDIOC_DQBUF, &frame.buffer);
  if (error == EAGAIN) return EMPTY;
  bool output = type_is_output(queue->type);
  if (error) return fail(device, output ? "VIDIOC_DQBUF(output)" : "VIDIOC_DQBUF", error);
  if (frame.buffer.index >= queue->count) return fail(device, "VIDIOC_DQBUF", EPROTO);
  queue->buffers[frame.buffer.index].queued = false;
  device->progress++;
  if (!output) return deliver_captured(device, queue, &frame);
  return device_call(device, "onwritten", 0, NULL) ? HANDLED : gone(device);
}

bool queue_drain(Device *device, Queue *queue) {
  uint32_t generation = queue->generation;
  // At most one round: a fast driver must not starve the event loop.
  for (uint32_t i = 0; i < queue->count; i++) {
    Outcome outcome = dequeue(device, queue);
    if (outcome == EMPTY) return true;
    if (outcome == ENDED || device->fd < 0 || device->failed) return false;
    if (!queue->streaming || queue->generation != generation) return true;  // the callback stopped or restarted it
  }
  return true;
}

// ---- methods

static napi_value undefined(napi_env env) {
  napi_value value;
  return napi_get_undefined(env, &value) == napi_ok ? value : NULL;
}

static const char *begin_streaming(Device *device, Queue *queue, uint32_t wanted, int *error) {
  queue->format = (struct v4l2_format){.type = queue->type};
  if ((*error = device_ioctl(device, VIDIOC_G_FMT, &queue->format))) return "VIDIOC_G_FMT";
  if ((*error = map_buffers(device, queue, wanted))) return "VIDIOC_REQBUFS";
  for (uint32_t i = 0; !type_is_output(queue->type) && i < queue->count; i++)
    if ((*error = enqueue(device, queue, i, NULL, 0))) return "VIDIOC_QBUF";
  int type = (int)queue->type;
  if ((*error = device_ioctl(device, VIDIOC_STREAMON, &type))) return "VIDIOC_STREAMON";
  uint32_t count;
  queue->streaming = true;
  if (napi_reference_ref(device->env, device->self, &count) != napi_ok) *error = ECANCELED;
  if (!*error) *error = poll_update(device);
  return *error ? "poll" : NULL;
}

// start(type, buffers, lend) -> buffers granted
napi_value method_start(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  Device *device = device_arguments(env, info, 3, arguments);
  uint32_t type, wanted;
  bool lend;
  bool read = device && type_argument(env, arguments[0], &type) &&
              js_uint32(env, arguments[1], "buffers", 1, MAX_BUFFERS, &wanted);
  if (!read) return NULL;
  if (napi_get_value_bool(env, arguments[2], &lend) != napi_ok) lend = false;
  Queue *queue = device_queue(device, type);
  if (queue->streaming) return js_throw(env, "start", EBUSY);
  queue->type = type;
  queue->lend = lend;
  queue->sequence_known = false;
  queue->lost = 0;
  int error = 0;
  const char *failed = begin_streaming(device, queue, wanted, &error);
  if (failed) {
    queue_stop(device, queue);
    return js_throw(env, failed, error);
  }
  napi_value granted;
  return napi_create_uint32(env, queue->count, &granted) == napi_ok ? granted : NULL;
}

napi_value method_stop(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  Device *device = device_arguments(env, info, 1, arguments);
  uint32_t type;
  if (!device || !type_argument(env, arguments[0], &type)) return NULL;
  queue_stop(device, device_queue(device, type));
  return undefined(env);
}

// release(index, generation): gives a lent buffer back. One of an earlier start is gone already: nothing to do.
napi_value method_release(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  Device *device = device_arguments(env, info, 2, arguments);
  uint32_t index, generation;
  bool read = device && js_uint32(env, arguments[0], "index", 0, MAX_BUFFERS - 1, &index) &&
              js_uint32(env, arguments[1], "generation", 0, UINT32_MAX, &generation);
  if (!read) return NULL;
  Queue *queue = &device->capture;
  bool current = queue->streaming && generation == queue->generation && index < queue->count;
  if (!current || queue->buffers[index].queued) return undefined(env);
  int error = enqueue(device, queue, index, NULL, 0);
  if (error) return js_throw(env, "VIDIOC_QBUF", error);
  error = poll_update(device);
  return error ? js_throw(env, "poll", error) : undefined(env);
}

// The output buffer as a picture to copy into, in the format granted by the driver.
static Picture target_picture(const Queue *queue, const Buffer *buffer) {
  const struct v4l2_pix_format_mplane *many = &queue->format.fmt.pix_mp;
  const struct v4l2_pix_format *one = &queue->format.fmt.pix;
  bool multiplanar = type_is_multiplanar(queue->type);
  Picture picture = {.fourcc = multiplanar ? many->pixelformat : one->pixelformat,
                     .width = multiplanar ? many->width : one->width,
                     .height = multiplanar ? many->height : one->height,
                     .plane_count = buffer->plane_count};
  for (uint32_t i = 0; i < buffer->plane_count; i++) {
    picture.planes[i] = buffer->planes[i];
    picture.bytes_per_line[i] = multiplanar ? many->plane_fmt[i].bytesperline : one->bytesperline;
  }
  return picture;
}

// { fourcc, width, height, planes: [{ bytesPerLine }] } and Uint8Array[]
static bool source_picture(napi_env env, napi_value format, napi_value data, Picture *picture) {
  napi_value planes, plane, bytes;
  uint32_t data_count, plane_count;
  bool read = js_property_uint32(env, format, "fourcc", UINT32_MAX, &picture->fourcc) &&
              js_property_uint32(env, format, "width", UINT16_MAX, &picture->width) &&
              js_property_uint32(env, format, "height", UINT16_MAX, &picture->height) &&
              napi_get_named_property(env, format, "planes", &planes) == napi_ok &&
              napi_get_array_length(env, planes, &plane_count) == napi_ok &&
              napi_get_array_length(env, data, &data_count) == napi_ok;
  if (!read) return false;
  if (data_count == 0 || data_count > VIDEO_MAX_PLANES || data_count != plane_count) return false;
  picture->plane_count = data_count;
  for (uint32_t i = 0; i < data_count; i++) {
    napi_typedarray_type type;
    bool is_typed;
    Plane *memory = &picture->planes[i];
    read = napi_get_element(env, planes, i, &plane) == napi_ok &&
           js_property_uint32(env, plane, "bytesPerLine", INT32_MAX, &picture->bytes_per_line[i]) &&
           napi_get_element(env, data, i, &bytes) == napi_ok && napi_is_typedarray(env, bytes, &is_typed) == napi_ok &&
           is_typed &&
           napi_get_typedarray_info(env, bytes, &type, &memory->length, &memory->start, NULL, NULL) == napi_ok &&
           type == napi_uint8_array;
    if (!read) return false;
  }
  return true;
}

static napi_value bad_picture(napi_env env) {
  bool pending = false;
  if (napi_is_exception_pending(env, &pending) == napi_ok && !pending)
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE",
                          "a picture needs planes (Uint8Array[]) and a format with as many planes");
  return NULL;
}

// The whole plane counts as used: its padding belongs to the picture.
static void plane_sizes(const Queue *queue, const Buffer *buffer, uint32_t *used) {
  for (uint32_t i = 0; i < buffer->plane_count; i++) {
    uint32_t size = type_is_multiplanar(queue->type) ? queue->format.fmt.pix_mp.plane_fmt[i].sizeimage
                                                     : queue->format.fmt.pix.sizeimage;
    used[i] = size && size < buffer->planes[i].length ? size : (uint32_t)buffer->planes[i].length;
  }
}

// write(planes, format, timestampUs) -> false when every output buffer is with the driver
napi_value method_write(napi_env env, napi_callback_info info) {
  napi_value arguments[3], result;
  Device *device = device_arguments(env, info, 3, arguments);
  int64_t timestamp;
  if (!device || !js_int64(env, arguments[2], "timestampUs", 0, INT64_MAX, &timestamp)) return NULL;
  Queue *queue = &device->output;
  if (!queue->streaming) return js_throw(env, "write", EINVAL);
  Picture source = {0};
  if (!source_picture(env, arguments[1], arguments[0], &source)) return bad_picture(env);

  uint32_t index = 0;
  while (index < queue->count && queue->buffers[index].queued) index++;
  bool free_buffer = index < queue->count;
  if (free_buffer) {
    Buffer *buffer = &queue->buffers[index];
    Picture target = target_picture(queue, buffer);
    int error = picture_copy(&target, &source);
    if (error) return js_throw(env, "picture copy", error);
    uint32_t used[VIDEO_MAX_PLANES];
    plane_sizes(queue, buffer, used);
    if ((error = enqueue(device, queue, index, used, timestamp))) return js_throw(env, "VIDIOC_QBUF(output)", error);
    if ((error = poll_update(device))) return js_throw(env, "poll", error);
  }
  return napi_get_boolean(env, free_buffer, &result) == napi_ok ? result : NULL;
}
