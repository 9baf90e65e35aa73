// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "api/request.h"
#include "api/spaces.h"

/* The instance of the route, NOT_FOUND; its status may be NULL. Both are the caller's. */
PtInstance *pt_instance_load(PtRequest *r, PtStatus **ret_status, gint64 *ret_revision, GError **error);
/* Spec and status in one object, read anew; NULL where it is gone. */
json_t *pt_instance_refresh(PtRequest *r, gint64 *ret_revision);

/* Wakes the route's instance where it is hibernated and waits until it runs, for somebody who opens a stream to it; not for a
 * picture of its desktop. Others are left as they are. What the stream needs besides is found out by who opens it. */
bool pt_instance_wake(PtRequest *r, GError **error);

/* Gives the instance `name` of the route's space a disk of `size` bytes. The id of the operation, the caller's; it goes on behind it. */
char *pt_instance_grow(PtRequest *r, const char *name, gint64 size, GError **error);

/* Whether the ports may be published: CONFLICT where one is another instance's, FORBIDDEN where one is the node's own and the
 * asker is no administrator. Those that `before` (NULL: none) has already stay. The view is in step. */
bool pt_ports_check(PtRequest *r, const PtInstance *spec, const PtInstance *before, GError **error);

/* CONFLICT where an instance of another space has a network card in this one. The view is in step. */
bool pt_nics_none_of_others(PtApi *api, const char *space, GError **error);

/* Whether the instance's image can run as its kind, and this node has an engine for it: INVALID or UNSUPPORTED, with what can. */
bool pt_kind_check(const PtInstance *spec, const PtImage *image, GError **error);
/* A user is for one command: INVALID where a whole system would start as somebody else than root. */
bool pt_guest_user_check(const PtInstance *spec, GError **error);
