// Opening, closing and the life of a device beside JavaScript's garbage collector and worker threads.
#include "device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

// Random; lets a method refuse a `this` that some other addon wrapped.
static const napi_type_tag device_tag = {0x6f1c3f0a52f94c1e, 0x9b7d5e21c4830fd6};

int device_ioctl(const Device *device, unsigned long request, void *argument) {
  int result;
  do result = ioctl(device->fd, request, argument);
  while (result == -1 && errno == EINTR);
  return result == -1 ? errno : 0;
}

bool type_is_multiplanar(uint32_t type) {
  return type == V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE || type == V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE;
}

bool type_is_output(uint32_t type) {
  return type == V4L2_BUF_TYPE_VIDEO_OUTPUT || type == V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE;
}

bool type_argument(napi_env env, napi_value value, uint32_t *type) {
  if (!js_uint32(env, value, "type", V4L2_BUF_TYPE_VIDEO_CAPTURE, V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE, type)) return false;
  if (type_is_multiplanar(*type) || type_is_output(*type) || *type == V4L2_BUF_TYPE_VIDEO_CAPTURE) return true;
  js_throw(env, "type", EINVAL);
  return false;
}

Queue *device_queue(Device *device, uint32_t type) { return type_is_output(type) ? &device->output : &device->capture; }

Device *device_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *arguments) {
  napi_value self;
  bool ours = false;
  Device *device = NULL;
  if (napi_get_cb_info(env, info, &count, arguments, &self, NULL) != napi_ok) return NULL;
  bool unwrapped = napi_check_object_type_tag(env, self, &device_tag, &ours) == napi_ok && ours &&
                   napi_unwrap(env, self, (void **)&device) == napi_ok;
  if (!unwrapped) {
    napi_throw_type_error(env, "ERR_INVALID_THIS", "not a V4L2 device");
    return NULL;
  }
  if (device->fd >= 0) return device;
  js_throw(env, "device is closed", EBADF);
  return NULL;
}

void device_release(Device *device) {
  if (--device->references == 0) free(device);
}

void device_close(Device *device) {
  if (device->fd < 0) return;
  queue_stop(device, &device->capture);
  queue_stop(device, &device->output);
  poll_close(device);
  close(device->fd);
  device->fd = -1;
}

static void on_environment_end(napi_async_cleanup_hook_handle handle, void *data) {
  Device *device = data;
  napi_handle_scope scope;
  device->environment_ends = true;
  bool scoped = napi_open_handle_scope(device->env, &scope) == napi_ok;
  device_close(device);
  if (scoped) napi_close_handle_scope(device->env, scope);
  if (device->closing > 0) return;  // the last close callback removes the hook, and lets the worker end
  device->cleanup = NULL;
  napi_remove_async_cleanup_hook(handle);
}

static void on_collected(napi_env env, void *data, void *hint) {
  (void)hint;
  Device *device = data;
  device_close(device);
  if (device->cleanup && !device->environment_ends) {
    napi_remove_async_cleanup_hook(device->cleanup);
    device->cleanup = NULL;
  }
  napi_delete_reference(env, device->self);
  device_release(device);
}

// A text argument, allocated; NULL with an exception pending.
static char *text_argument(napi_env env, napi_value value) {
  size_t length;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "path must be a string");
    return NULL;
  }
  char *text = malloc(length + 1);
  if (text && napi_get_value_string_utf8(env, value, text, length + 1, &length) == napi_ok) return text;
  free(text);
  js_throw(env, "path", ENOMEM);
  return NULL;
}

static int open_node(const char *path, struct v4l2_capability *caps, const char **syscall) {
  *syscall = "open";
  int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return -1;
  *syscall = "VIDIOC_QUERYCAP";
  Device probe = {.fd = fd};
  int error = device_ioctl(&probe, VIDIOC_QUERYCAP, caps);
  if (!error) return fd;
  close(fd);
  errno = error;
  return -1;
}

static bool attach(napi_env env, napi_value self, Device *device) {
  if (napi_type_tag_object(env, self, &device_tag) != napi_ok) return false;
  if (napi_wrap(env, self, device, on_collected, NULL, &device->self) != napi_ok) return false;
  return napi_add_async_cleanup_hook(env, on_environment_end, device, &device->cleanup) == napi_ok;
}

// new Device(path)
static napi_value construct(napi_env env, napi_callback_info info) {
  napi_value argument, self;
  size_t count = 1;
  if (napi_get_cb_info(env, info, &count, &argument, &self, NULL) != napi_ok) return NULL;
  char *path = text_argument(env, argument);
  if (!path) return NULL;
  struct v4l2_capability caps = {0};
  const char *syscall;
  int fd = open_node(path, &caps, &syscall);
  int error = errno;
  free(path);
  if (fd < 0) return js_throw(env, syscall, error);

  Device *device = calloc(1, sizeof *device);
  if (!device) {
    close(fd);
    return js_throw(env, "open", ENOMEM);
  }
  device->env = env;
  device->fd = fd;
  device->references = 1;
  device->restart_poll = strcmp((const char *)caps.driver, "v4l2 loopback") == 0;
  if (attach(env, self, device)) return self;
  device_close(device);
  if (!device->self) device_release(device);  // once wrapped, the collector releases it
  return js_throw(env, "open", ECANCELED);
}

// Closing twice is no error.
static napi_value method_close(napi_env env, napi_callback_info info) {
  napi_value self, nothing;
  size_t none = 0;
  bool ours = false;
  Device *device = NULL;
  if (napi_get_cb_info(env, info, &none, NULL, &self, NULL) != napi_ok) return NULL;
  bool unwrapped = napi_check_object_type_tag(env, self, &device_tag, &ours) == napi_ok && ours &&
                   napi_unwrap(env, self, (void **)&device) == napi_ok;
  if (unwrapped) device_close(device);
  return napi_get_undefined(env, &nothing) == napi_ok ? nothing : NULL;
}

NAPI_MODULE_INIT() {
#define METHOD(NAME, FUNCTION) {NAME, NULL, FUNCTION, NULL, NULL, NULL, napi_default, NULL}
  const napi_property_descriptor methods[] = {
      METHOD("info", method_info),
      METHOD("formats", method_formats),
      METHOD("sizes", method_sizes),
      METHOD("intervals", method_intervals),
      METHOD("getFormat", method_get_format),
      METHOD("setFormat", method_set_format),
      METHOD("getInterval", method_get_interval),
      METHOD("setInterval", method_set_interval),
      METHOD("crop", method_crop),
      METHOD("controls", method_controls),
      METHOD("getControl", method_get_control),
      METHOD("setControl", method_set_control),
      METHOD("subscribe", method_subscribe),
      METHOD("start", method_start),
      METHOD("stop", method_stop),
      METHOD("release", method_release),
      METHOD("write", method_write),
      METHOD("close", method_close),
  };
  napi_value constructor;
  bool defined = napi_define_class(env, "Device", NAPI_AUTO_LENGTH, construct, NULL, sizeof methods / sizeof *methods,
                                   methods, &constructor) == napi_ok &&
                 js_put(env, exports, "Device", constructor) && control_ids(env, exports);
  return defined ? exports : NULL;
}
