// SPDX-License-Identifier: Apache-2.0
#pragma once
/* Inside of the rtnetlink client: what netlink.c (links, addresses, routes) and netlink_rate.c (traffic control) share. */
#include <libmnl/libmnl.h>

#include "drivers/network/netlink.h"

#define PT_NL_BUFFER 32768 /* a dump's message, whatever the page size */

struct PtNl {
  struct mnl_socket *socket;
  guint32 seq;
  union {
    char bytes[PT_NL_BUFFER];
    struct nlmsghdr align;
  } buf;
};

/* The header of a request, in the socket's buffer. */
struct nlmsghdr *pt_nl_begin(PtNl *nl, guint16 type, guint16 flags);
/* Sends, and reads to the acknowledgement or the end of the dump; `each` (may be NULL) sees what comes. 0 or an errno. */
int pt_nl_talk(PtNl *nl, const struct nlmsghdr *msg, mnl_cb_t each, void *data);
/* Whether `err` is 0; else sets the error: what was done with which link. */
bool pt_nl_done(int err, GError **error, const char *what, const char *name);
/* A link's index; 0 or an errno. */
int pt_nl_index(PtNl *nl, const char *name, guint32 *ret);
