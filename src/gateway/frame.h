// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <glib.h>
#include <stdbool.h>

#include "gateway/io.h"

/* One picture of a desktop. */
typedef struct PtFrame {
  guint width, height;
  guint8 *rgb; /* width * height * 3 */
} PtFrame;
void pt_frame_clear(PtFrame *frame);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PtFrame, pt_frame_clear)

/* Asks a desktop (after pt_rfb_join) for one whole picture, scaled down to at most `max_width`, by averaging. Pixels are
 * added up as they come, so that memory depends on the result's size, not on the desktop's. */
bool pt_frame_grab(PtIo *io, guint max_width, PtFrame *ret, GError **error);

/* Is all of it one colour? So it is before anything has been drawn. */
bool pt_frame_plain(const PtFrame *frame);

/* As PNG; NULL with an error. */
GBytes *pt_frame_png(const PtFrame *frame, GError **error);
