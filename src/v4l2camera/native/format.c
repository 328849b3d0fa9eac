// Picture format, frame interval and crop of one queue.
#include "device.h"

static napi_value format_object(napi_env env, const struct v4l2_format *format) {
  bool multiplanar = type_is_multiplanar(format->type);
  const struct v4l2_pix_format_mplane *many = &format->fmt.pix_mp;
  const struct v4l2_pix_format *one = &format->fmt.pix;
  uint32_t count = multiplanar ? many->num_planes : 1;
  napi_value object = js_object(env), planes = js_array(env);
  for (uint32_t i = 0; i < count && i < VIDEO_MAX_PLANES; i++) {
    napi_value plane = js_object(env);
    bool filled =
        js_put_number(env, plane, "bytesPerLine", multiplanar ? many->plane_fmt[i].bytesperline : one->bytesperline) &&
        js_put_number(env, plane, "sizeImage", multiplanar ? many->plane_fmt[i].sizeimage : one->sizeimage) &&
        js_push(env, planes, i, plane);
    if (!filled) return NULL;
  }
  bool filled = js_put_number(env, object, "fourcc", multiplanar ? many->pixelformat : one->pixelformat) &&
                js_put_number(env, object, "width", multiplanar ? many->width : one->width) &&
                js_put_number(env, object, "height", multiplanar ? many->height : one->height) &&
                js_put(env, object, "planes", planes);
  return filled ? object : NULL;
}

napi_value method_get_format(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  Device *device = device_arguments(env, info, 1, arguments);
  struct v4l2_format format = {0};
  if (!device || !type_argument(env, arguments[0], &format.type)) return NULL;
  int error = device_ioctl(device, VIDIOC_G_FMT, &format);
  return error ? js_throw(env, "VIDIOC_G_FMT", error) : format_object(env, &format);
}

// setFormat(type, { fourcc?, width?, height?, sizeImage? }): what is not given stays; the driver may adjust all.
napi_value method_set_format(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  Device *device = device_arguments(env, info, 2, arguments);
  struct v4l2_format format = {0};
  if (!device || !type_argument(env, arguments[0], &format.type)) return NULL;
  int error = device_ioctl(device, VIDIOC_G_FMT, &format);
  if (error) return js_throw(env, "VIDIOC_G_FMT", error);

  bool multiplanar = type_is_multiplanar(format.type);
  struct v4l2_pix_format_mplane *many = &format.fmt.pix_mp;
  struct v4l2_pix_format *one = &format.fmt.pix;
  uint32_t fourcc = multiplanar ? many->pixelformat : one->pixelformat;
  uint32_t width = multiplanar ? many->width : one->width;
  uint32_t height = multiplanar ? many->height : one->height;
  uint32_t size = 0;
  bool read = js_property_uint32(env, arguments[1], "fourcc", UINT32_MAX, &fourcc) &&
              js_property_uint32(env, arguments[1], "width", UINT16_MAX, &width) &&
              js_property_uint32(env, arguments[1], "height", UINT16_MAX, &height) &&
              js_property_uint32(env, arguments[1], "sizeImage", INT32_MAX, &size);
  if (!read) return NULL;

  if (multiplanar) {
    // Strides and sizes of the old format would be taken as wishes: let the driver compute them anew.
    *many = (struct v4l2_pix_format_mplane){.pixelformat = fourcc, .width = width, .height = height,
                                            .field = V4L2_FIELD_NONE, .colorspace = many->colorspace,
                                            .num_planes = 1};
    many->plane_fmt[0].sizeimage = size;
  } else {
    *one = (struct v4l2_pix_format){.pixelformat = fourcc, .width = width, .height = height,
                                    .field = V4L2_FIELD_NONE, .colorspace = one->colorspace, .sizeimage = size};
  }
  error = device_ioctl(device, VIDIOC_S_FMT, &format);
  return error ? js_throw(env, "VIDIOC_S_FMT", error) : format_object(env, &format);
}

static struct v4l2_fract *time_per_frame(struct v4l2_streamparm *parameters) {
  return type_is_output(parameters->type) ? &parameters->parm.output.timeperframe
                                          : &parameters->parm.capture.timeperframe;
}

static napi_value interval_object(napi_env env, struct v4l2_streamparm *parameters) {
  napi_value object = js_object(env);
  bool filled = js_put_number(env, object, "numerator", time_per_frame(parameters)->numerator) &&
                js_put_number(env, object, "denominator", time_per_frame(parameters)->denominator);
  return filled ? object : NULL;
}

napi_value method_get_interval(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  Device *device = device_arguments(env, info, 1, arguments);
  struct v4l2_streamparm parameters = {0};
  if (!device || !type_argument(env, arguments[0], &parameters.type)) return NULL;
  int error = device_ioctl(device, VIDIOC_G_PARM, &parameters);
  return error ? js_throw(env, "VIDIOC_G_PARM", error) : interval_object(env, &parameters);
}

napi_value method_set_interval(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  Device *device = device_arguments(env, info, 3, arguments);
  struct v4l2_streamparm parameters = {0};
  if (!device || !type_argument(env, arguments[0], &parameters.type)) return NULL;
  struct v4l2_fract *interval = time_per_frame(&parameters);
  bool read = js_uint32(env, arguments[1], "numerator", 1, UINT32_MAX, &interval->numerator) &&
              js_uint32(env, arguments[2], "denominator", 1, UINT32_MAX, &interval->denominator);
  if (!read) return NULL;
  int error = device_ioctl(device, VIDIOC_S_PARM, &parameters);
  return error ? js_throw(env, "VIDIOC_S_PARM", error) : interval_object(env, &parameters);
}

// crop(type, width, height): the visible part, from the top left corner, of a picture padded to the hardware's blocks.
napi_value method_crop(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  Device *device = device_arguments(env, info, 3, arguments);
  struct v4l2_selection selection = {.target = V4L2_SEL_TGT_CROP};
  bool read = device && type_argument(env, arguments[0], &selection.type) &&
              js_uint32(env, arguments[1], "width", 1, UINT16_MAX, &selection.r.width) &&
              js_uint32(env, arguments[2], "height", 1, UINT16_MAX, &selection.r.height);
  if (!read) return NULL;
  int error = device_ioctl(device, VIDIOC_S_SELECTION, &selection);
  if (error) return js_throw(env, "VIDIOC_S_SELECTION", error);
  napi_value nothing;
  return napi_get_undefined(env, &nothing) == napi_ok ? nothing : NULL;
}
