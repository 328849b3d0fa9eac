// What a node is and what it can do.
#include <errno.h>

#include "device.h"

napi_value method_info(napi_env env, napi_callback_info info) {
  Device *device = device_arguments(env, info, 0, NULL);
  if (!device) return NULL;
  struct v4l2_capability caps = {0};
  int error = device_ioctl(device, VIDIOC_QUERYCAP, &caps);
  if (error) return js_throw(env, "VIDIOC_QUERYCAP", error);
  // `capabilities` speaks of the whole physical device, `device_caps` of this node.
  uint32_t node = caps.capabilities & V4L2_CAP_DEVICE_CAPS ? caps.device_caps : caps.capabilities;
  napi_value object = js_object(env);
  bool filled = js_put_text(env, object, "driver", caps.driver, sizeof caps.driver) &&
                js_put_text(env, object, "card", caps.card, sizeof caps.card) &&
                js_put_text(env, object, "bus", caps.bus_info, sizeof caps.bus_info) &&
                js_put_number(env, object, "version", caps.version) &&
                js_put_number(env, object, "capabilities", node);
  return filled ? object : NULL;
}

// An enumeration ends with EINVAL; drivers without it answer ENOTTY: an empty list. The rest is an error.
static bool enumeration_ended(int error) { return error == EINVAL || error == ENOTTY; }

napi_value method_formats(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  Device *device = device_arguments(env, info, 1, arguments);
  uint32_t type;
  if (!device || !type_argument(env, arguments[0], &type)) return NULL;
  napi_value list = js_array(env);
  for (uint32_t i = 0; list; i++) {
    struct v4l2_fmtdesc format = {.index = i, .type = type};
    int error = device_ioctl(device, VIDIOC_ENUM_FMT, &format);
    if (enumeration_ended(error)) break;
    if (error) return js_throw(env, "VIDIOC_ENUM_FMT", error);
    napi_value item = js_object(env);
    bool filled = js_put_number(env, item, "fourcc", format.pixelformat) &&
                  js_put_text(env, item, "description", format.description, sizeof format.description) &&
                  js_put_number(env, item, "flags", format.flags) && js_push(env, list, i, item);
    if (!filled) return NULL;
  }
  return list;
}

static bool put_size(napi_env env, napi_value item, const struct v4l2_frmsizeenum *size) {
  if (size->type == V4L2_FRMSIZE_TYPE_DISCRETE)
    return js_put_number(env, item, "width", size->discrete.width) &&
           js_put_number(env, item, "height", size->discrete.height);
  const struct v4l2_frmsize_stepwise *range = &size->stepwise;
  return js_put_number(env, item, "minWidth", range->min_width) &&
         js_put_number(env, item, "maxWidth", range->max_width) &&
         js_put_number(env, item, "stepWidth", range->step_width) &&
         js_put_number(env, item, "minHeight", range->min_height) &&
         js_put_number(env, item, "maxHeight", range->max_height) &&
         js_put_number(env, item, "stepHeight", range->step_height);
}

napi_value method_sizes(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  Device *device = device_arguments(env, info, 1, arguments);
  uint32_t fourcc;
  if (!device || !js_uint32(env, arguments[0], "fourcc", 0, UINT32_MAX, &fourcc)) return NULL;
  napi_value list = js_array(env);
  for (uint32_t i = 0; list; i++) {
    struct v4l2_frmsizeenum size = {.index = i, .pixel_format = fourcc};
    int error = device_ioctl(device, VIDIOC_ENUM_FRAMESIZES, &size);
    if (enumeration_ended(error)) break;
    if (error) return js_throw(env, "VIDIOC_ENUM_FRAMESIZES", error);
    napi_value item = js_object(env);
    if (!put_size(env, item, &size) || !js_push(env, list, i, item)) return NULL;
    if (size.type != V4L2_FRMSIZE_TYPE_DISCRETE) break;  // one range is the whole answer
  }
  return list;
}

static napi_value fraction(napi_env env, const struct v4l2_fract *value) {
  napi_value object = js_object(env);
  bool filled = js_put_number(env, object, "numerator", value->numerator) &&
                js_put_number(env, object, "denominator", value->denominator);
  return filled ? object : NULL;
}

static napi_value interval(napi_env env, const struct v4l2_frmivalenum *value) {
  if (value->type == V4L2_FRMIVAL_TYPE_DISCRETE) return fraction(env, &value->discrete);
  napi_value object = js_object(env);
  bool filled = js_put(env, object, "min", fraction(env, &value->stepwise.min)) &&
                js_put(env, object, "max", fraction(env, &value->stepwise.max)) &&
                js_put(env, object, "step", fraction(env, &value->stepwise.step));
  return filled ? object : NULL;
}

napi_value method_intervals(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  Device *device = device_arguments(env, info, 3, arguments);
  uint32_t fourcc, width, height;
  bool read = device && js_uint32(env, arguments[0], "fourcc", 0, UINT32_MAX, &fourcc) &&
              js_uint32(env, arguments[1], "width", 1, UINT16_MAX, &width) &&
              js_uint32(env, arguments[2], "height", 1, UINT16_MAX, &height);
  if (!read) return NULL;
  napi_value list = js_array(env);
  for (uint32_t i = 0; list; i++) {
    struct v4l2_frmivalenum value = {.index = i, .pixel_format = fourcc, .width = width, .height = height};
    int error = device_ioctl(device, VIDIOC_ENUM_FRAMEINTERVALS, &value);
    if (enumeration_ended(error)) break;
    if (error) return js_throw(env, "VIDIOC_ENUM_FRAMEINTERVALS", error);
    if (!js_push(env, list, i, interval(env, &value))) return NULL;
    if (value.type != V4L2_FRMIVAL_TYPE_DISCRETE) break;
  }
  return list;
}
