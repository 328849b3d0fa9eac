// Controls: enumeration and values. Controls of codecs belong to the file handle, not to the device.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"

// Longest string control we pass on, bytes with its NUL.
#define MAX_STRING 65536

static bool is_menu(uint32_t type) { return type == V4L2_CTRL_TYPE_MENU || type == V4L2_CTRL_TYPE_INTEGER_MENU; }

// Menus may have holes: an index that answers EINVAL is simply not there.
static napi_value menu(napi_env env, const Device *device, const struct v4l2_query_ext_ctrl *query) {
  napi_value list = js_array(env);
  uint32_t found = 0;
  for (int64_t i = query->minimum; list && i <= query->maximum; i++) {
    struct v4l2_querymenu item = {.id = query->id, .index = (uint32_t)i};
    if (device_ioctl(device, VIDIOC_QUERYMENU, &item)) continue;
    napi_value entry = js_object(env);
    bool filled = js_put_number(env, entry, "index", (double)i) &&
                  (query->type == V4L2_CTRL_TYPE_MENU ? js_put_text(env, entry, "name", item.name, sizeof item.name)
                                                      : js_put_int64(env, entry, "value", item.value)) &&
                  js_push(env, list, found++, entry);
    if (!filled) return NULL;
  }
  return list;
}

static napi_value describe(napi_env env, const Device *device, const struct v4l2_query_ext_ctrl *query) {
  napi_value object = js_object(env);
  bool filled = js_put_number(env, object, "id", query->id) &&
                js_put_text(env, object, "name", query->name, sizeof query->name) &&
                js_put_number(env, object, "type", query->type) && js_put_number(env, object, "flags", query->flags) &&
                js_put_int64(env, object, "minimum", query->minimum) &&
                js_put_int64(env, object, "maximum", query->maximum) &&
                js_put_int64(env, object, "step", (int64_t)query->step) &&
                js_put_int64(env, object, "default", query->default_value) &&
                js_put_number(env, object, "elements", query->elems);
  if (filled && is_menu(query->type)) filled = js_put(env, object, "menu", menu(env, device, query));
  return filled ? object : NULL;
}

napi_value method_controls(napi_env env, napi_callback_info info) {
  Device *device = device_arguments(env, info, 0, NULL);
  if (!device) return NULL;
  const uint32_t next = V4L2_CTRL_FLAG_NEXT_CTRL | V4L2_CTRL_FLAG_NEXT_COMPOUND;
  napi_value list = js_array(env);
  struct v4l2_query_ext_ctrl query = {.id = next};
  for (uint32_t i = 0; list; i++) {
    int error = device_ioctl(device, VIDIOC_QUERY_EXT_CTRL, &query);
    if (error == EINVAL || error == ENOTTY) break;  // the last one, or a driver without controls
    if (error) return js_throw(env, "VIDIOC_QUERY_EXT_CTRL", error);
    if (!js_push(env, list, i, describe(env, device, &query))) return NULL;
    query.id |= next;
  }
  return list;
}

// Reads the wanted value into `control`; strings into its `size` bytes, NUL-terminated.
static bool read_value(napi_env env, napi_value value, uint32_t type, struct v4l2_ext_control *control) {
  int64_t integer = 0;
  switch (type) {
    case V4L2_CTRL_TYPE_STRING: {
      size_t length;
      if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) {
        napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "value of a string control must be a string");
        return false;
      }
      if (length >= control->size) {
        napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "string is longer than the control takes");
        return false;
      }
      return napi_get_value_string_utf8(env, value, control->string, control->size, &length) == napi_ok;
    }
    case V4L2_CTRL_TYPE_INTEGER64:
      if (!js_int64(env, value, "value", INT64_MIN, INT64_MAX, &integer)) return false;
      control->value64 = integer;
      return true;
    case V4L2_CTRL_TYPE_BUTTON:
      return true;  // pressing is all it knows
    case V4L2_CTRL_TYPE_BITMASK:
      if (!js_int64(env, value, "value", 0, UINT32_MAX, &integer)) return false;
      control->value = (int32_t)(uint32_t)integer;
      return true;
    default:
      if (!js_int64(env, value, "value", INT32_MIN, INT32_MAX, &integer)) return false;
      control->value = (int32_t)integer;
      return true;
  }
}

static napi_value value_of(napi_env env, uint32_t type, const struct v4l2_ext_control *control) {
  napi_value value;
  napi_status status;
  if (type == V4L2_CTRL_TYPE_STRING)
    status = napi_create_string_utf8(env, control->string, strnlen(control->string, control->size), &value);
  else if (type == V4L2_CTRL_TYPE_INTEGER64) status = napi_create_bigint_int64(env, control->value64, &value);
  else if (type == V4L2_CTRL_TYPE_BITMASK) status = napi_create_uint32(env, (uint32_t)control->value, &value);
  else status = napi_create_int32(env, control->value, &value);
  return status == napi_ok ? value : NULL;
}

// Gets (value NULL) or sets one control and returns what the driver then holds.
static napi_value exchange(napi_env env, const Device *device, uint32_t id, napi_value value) {
  struct v4l2_query_ext_ctrl query = {.id = id};
  int error = device_ioctl(device, VIDIOC_QUERY_EXT_CTRL, &query);
  if (error) return js_throw(env, "VIDIOC_QUERY_EXT_CTRL", error);

  struct v4l2_ext_control control = {.id = id};
  struct v4l2_ext_controls list = {.which = V4L2_CTRL_WHICH_CUR_VAL, .count = 1, .controls = &control};
  bool is_string = query.type == V4L2_CTRL_TYPE_STRING;
  if (is_string) {
    if (query.elem_size == 0 || query.elem_size > MAX_STRING) return js_throw(env, "string control", EOVERFLOW);
    control.size = query.elem_size;
    control.string = calloc(1, control.size);
    if (!control.string) return js_throw(env, "string control", ENOMEM);
  } else if (query.flags & V4L2_CTRL_FLAG_HAS_PAYLOAD || query.type >= V4L2_CTRL_COMPOUND_TYPES) {
    return js_throw(env, "compound control", ENOTSUP);
  }

  napi_value result = NULL;
  if (!value || read_value(env, value, query.type, &control)) {
    error = device_ioctl(device, value ? VIDIOC_S_EXT_CTRLS : VIDIOC_G_EXT_CTRLS, &list);
    result = error ? js_throw(env, value ? "VIDIOC_S_EXT_CTRLS" : "VIDIOC_G_EXT_CTRLS", error)
                   : value_of(env, query.type, &control);
  }
  if (is_string) free(control.string);
  return result;
}

napi_value method_get_control(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  Device *device = device_arguments(env, info, 1, arguments);
  uint32_t id;
  if (!device || !js_uint32(env, arguments[0], "id", 0, UINT32_MAX, &id)) return NULL;
  return exchange(env, device, id, NULL);
}

napi_value method_set_control(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  Device *device = device_arguments(env, info, 2, arguments);
  uint32_t id;
  if (!device || !js_uint32(env, arguments[0], "id", 0, UINT32_MAX, &id)) return NULL;
  return exchange(env, device, id, arguments[1]);
}

// subscribe(type, id): V4L2 events then arrive at onevent.
napi_value method_subscribe(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  Device *device = device_arguments(env, info, 2, arguments);
  struct v4l2_event_subscription subscription = {0};
  bool read = device && js_uint32(env, arguments[0], "type", 0, UINT32_MAX, &subscription.type) &&
              js_uint32(env, arguments[1], "id", 0, UINT32_MAX, &subscription.id);
  if (!read) return NULL;
  int error = device_ioctl(device, VIDIOC_SUBSCRIBE_EVENT, &subscription);
  if (error) return js_throw(env, "VIDIOC_SUBSCRIBE_EVENT", error);
  napi_value nothing;
  return napi_get_undefined(env, &nothing) == napi_ok ? nothing : NULL;
}

bool control_ids(napi_env env, napi_value exports) {
  static const struct {
    const char *name;
    uint32_t id;
  } ids[] = {
      {"VIDEO_BITRATE", V4L2_CID_MPEG_VIDEO_BITRATE},
      {"VIDEO_BITRATE_MODE", V4L2_CID_MPEG_VIDEO_BITRATE_MODE},
      {"GOP_SIZE", V4L2_CID_MPEG_VIDEO_GOP_SIZE},
      {"H264_I_PERIOD", V4L2_CID_MPEG_VIDEO_H264_I_PERIOD},
      {"H264_PROFILE", V4L2_CID_MPEG_VIDEO_H264_PROFILE},
      {"H264_LEVEL", V4L2_CID_MPEG_VIDEO_H264_LEVEL},
      {"B_FRAMES", V4L2_CID_MPEG_VIDEO_B_FRAMES},
      {"FORCE_KEY_FRAME", V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME},
      {"REPEAT_SEQ_HEADER", V4L2_CID_MPEG_VIDEO_REPEAT_SEQ_HEADER},
      {"HEADER_MODE", V4L2_CID_MPEG_VIDEO_HEADER_MODE},
#ifdef V4L2_CID_MPEG_VIDEO_PREPEND_SPSPPS_TO_IDR
      {"PREPEND_SPSPPS_TO_IDR", V4L2_CID_MPEG_VIDEO_PREPEND_SPSPPS_TO_IDR},
#endif
  };
  napi_value object = js_object(env);
  for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
    if (!js_put_number(env, object, ids[i].name, ids[i].id)) return false;
  return js_put(env, exports, "controlIds", object);
}
