// SPDX-License-Identifier: Apache-2.0
#pragma once
/* What an image of an unmodified system (a disk, or a disc to install from) means for an instance of it. */
#include "api/request.h"

/* Fills what the request (`given`) left open as the image proposes: model pc, firmware, cpus, memory, the disk's size; an ISO goes into the
 * drive of a machine with an empty disk. INVALID where the two do not go together. Of other images nothing but the drive is looked at. */
bool pt_disks_fit(PtApi *api, PtInstance *spec, const PtImage *image, const json_t *given, GError **error);
/* After a change: the disc that iso_name names now; a model that the image can be. */
bool pt_disks_changed(PtApi *api, const PtInstance *before, PtInstance *spec, GError **error);
/* Whether its root volume is a whole disk. */
bool pt_disks_raw(const PtImage *image);
