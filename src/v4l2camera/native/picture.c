// Raw pictures between a camera's memory layout and an encoder's: the same components, other strides, one
// memory plane or several (NV12 against NM12).
#include <errno.h>
#include <string.h>

#include "device.h"

typedef struct {
  uint8_t step;        // bytes per sample group
  uint8_t horizontal;  // subsampling
  uint8_t vertical;
} Component;

typedef struct {
  uint32_t fourcc;
  uint32_t family;        // layouts of one family hold the same components in the same order
  bool separate;          // one memory plane per component
  uint32_t component_count;
  Component components[3];
} Layout;

#define LUMA {1, 1, 1}
static const Layout layouts[] = {
    {V4L2_PIX_FMT_NV12, V4L2_PIX_FMT_NV12, false, 2, {LUMA, {2, 2, 2}}},
    {V4L2_PIX_FMT_NV12M, V4L2_PIX_FMT_NV12, true, 2, {LUMA, {2, 2, 2}}},
    {V4L2_PIX_FMT_NV21, V4L2_PIX_FMT_NV21, false, 2, {LUMA, {2, 2, 2}}},
    {V4L2_PIX_FMT_NV21M, V4L2_PIX_FMT_NV21, true, 2, {LUMA, {2, 2, 2}}},
    {V4L2_PIX_FMT_YUV420, V4L2_PIX_FMT_YUV420, false, 3, {LUMA, {1, 2, 2}, {1, 2, 2}}},
    {V4L2_PIX_FMT_YUV420M, V4L2_PIX_FMT_YUV420, true, 3, {LUMA, {1, 2, 2}, {1, 2, 2}}},
    {V4L2_PIX_FMT_YVU420, V4L2_PIX_FMT_YVU420, false, 3, {LUMA, {1, 2, 2}, {1, 2, 2}}},
    {V4L2_PIX_FMT_YVU420M, V4L2_PIX_FMT_YVU420, true, 3, {LUMA, {1, 2, 2}, {1, 2, 2}}},
    {V4L2_PIX_FMT_YUYV, V4L2_PIX_FMT_YUYV, false, 1, {{4, 2, 1}}},
    {V4L2_PIX_FMT_UYVY, V4L2_PIX_FMT_UYVY, false, 1, {{4, 2, 1}}},
    {V4L2_PIX_FMT_GREY, V4L2_PIX_FMT_GREY, false, 1, {LUMA}},
    {V4L2_PIX_FMT_RGB24, V4L2_PIX_FMT_RGB24, false, 1, {{3, 1, 1}}},
    {V4L2_PIX_FMT_BGR24, V4L2_PIX_FMT_BGR24, false, 1, {{3, 1, 1}}},
};

static const Layout *layout_of(uint32_t fourcc) {
  for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
    if (layouts[i].fourcc == fourcc) return &layouts[i];
  return NULL;
}

static uint64_t divide_up(uint64_t value, uint64_t by) { return (value + by - 1) / by; }

// Where one component lies. 64 bits also on 32-bit boards: a product of numbers from outside must not wrap.
typedef struct {
  uint8_t *start;
  uint64_t stride, row_bytes, rows;
} Area;

static uint32_t plane_of(const Layout *layout, uint32_t component) { return layout->separate ? component : 0; }

// bytesperline speaks of the first component of its plane; the others are in proportion.
static uint64_t stride_of(const Picture *picture, const Layout *layout, uint32_t index) {
  uint64_t line = picture->bytes_per_line[plane_of(layout, index)];
  if (layout->separate) return line;
  const Component *first = &layout->components[0], *component = &layout->components[index];
  return line * component->step * first->horizontal / (first->step * component->horizontal);
}

static uint64_t rows_of(const Picture *picture, const Layout *layout, uint32_t index) {
  return divide_up(picture->height, layout->components[index].vertical);
}

// In one memory plane the components follow one another, each as many rows of its stride as the format's own height
// says (V4L2 documentation, "Planar YUV formats").
static uint64_t offset_of(const Picture *picture, const Layout *layout, uint32_t index) {
  uint64_t offset = 0;
  for (uint32_t i = 0; !layout->separate && i < index; i++)
    offset += stride_of(picture, layout, i) * rows_of(picture, layout, i);
  return offset;
}

// False when the memory is too short for what the format says.
static bool area_of(const Picture *picture, const Layout *layout, uint32_t index, Area *area) {
  const Component *component = &layout->components[index];
  uint32_t plane = plane_of(layout, index);
  if (plane >= picture->plane_count) return false;
  area->stride = stride_of(picture, layout, index);
  area->rows = rows_of(picture, layout, index);
  area->row_bytes = divide_up(picture->width, component->horizontal) * component->step;
  if (area->row_bytes > area->stride || area->rows == 0) return false;
  uint64_t offset = offset_of(picture, layout, index);
  uint64_t end = offset + area->stride * (area->rows - 1) + area->row_bytes;
  if (end > picture->planes[plane].length) return false;
  area->start = (uint8_t *)picture->planes[plane].start + offset;
  return true;
}

static void copy_area(const Area *target, const Area *source) {
  size_t rows = (size_t)(source->rows < target->rows ? source->rows : target->rows);
  size_t bytes = (size_t)(source->row_bytes < target->row_bytes ? source->row_bytes : target->row_bytes);
  if (target->stride == source->stride) {
    memcpy(target->start, source->start, target->stride * (rows - 1) + bytes);
    return;
  }
  for (size_t row = 0; row < rows; row++)
    memcpy(target->start + row * target->stride, source->start + row * source->stride, bytes);
}

// Formats we know no layout of (Bayer, tiled, …) pass unchanged between equal formats.
static int copy_opaque(const Picture *target, const Picture *source) {
  if (target->fourcc != source->fourcc || target->plane_count != source->plane_count) return EINVAL;
  for (uint32_t i = 0; i < source->plane_count; i++) {
    if (target->bytes_per_line[i] != source->bytes_per_line[i]) return EINVAL;
    if (source->planes[i].length > target->planes[i].length) return EMSGSIZE;
    memcpy(target->planes[i].start, source->planes[i].start, source->planes[i].length);
  }
  return 0;
}

int picture_copy(const Picture *target, const Picture *source) {
  const Layout *to = layout_of(target->fourcc), *from = layout_of(source->fourcc);
  if (!to || !from) return copy_opaque(target, source);
  if (to->family != from->family) return EINVAL;
  for (uint32_t i = 0; i < to->component_count; i++) {
    Area into, out_of;
    if (!area_of(target, to, i, &into) || !area_of(source, from, i, &out_of)) return EMSGSIZE;
    copy_area(&into, &out_of);
  }
  return 0;
}
