// SPDX-License-Identifier: Apache-2.0
#pragma once
/* What the network driver remembers in RUN/net, and the checks on what it is given. */
#include <sys/types.h>

#include "drivers/network/network.h"

typedef struct PtNetRecord { /* a space */
  char *name, *subnet, *prefix6;
  char *domain;                     /* "home.internal" */
  char *gateway, *network, *netmask; /* of the subnet, as text */
  char *gateway6;                   /* or NULL */
  guint length;
  guint32 first;                    /* network address, host order */
} PtNetRecord;

/* INVALID names what is wrong. */
PtNetRecord *pt_net_record_new(const PtNetSpace *space, GError **error);
void pt_net_record_free(PtNetRecord *r);
bool pt_net_record_save(const PtNetRecord *r, const char *path, GError **error);
PtNetRecord *pt_net_record_load(const char *path); /* NULL: absent or broken */
/* CONFLICT where `space` has come to mean another network than the one that is up. */
bool pt_net_record_matches(const PtNetRecord *r, const PtNetSpace *space, GError **error);

typedef struct PtNetPortRecord {
  char *name, *address, *address6, *mac;
  char *card, *host; /* of a further card; else NULL */
  bool whole;        /* a further card that was made to the end */
  GArray *publish; /* of PtNetPublish; their addresses are ours */
} PtNetPortRecord;

PtNetPortRecord *pt_net_port_record_new(const PtNetRecord *space, const PtNetPort *port, GError **error);
void pt_net_port_record_free(PtNetPortRecord *r);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PtNetPortRecord, pt_net_port_record_free)
bool pt_net_port_record_save(const PtNetPortRecord *r, const char *path, GError **error);
PtNetPortRecord *pt_net_port_record_load(const char *path); /* NULL: absent or broken */

/* The bridge's end of an instance's port: 14 characters. */
void pt_net_link_name(const char *instance, char ret[16]);
/* The detour that holds back what the instance sends. */
void pt_net_detour_name(const char *instance, char ret[16]);
bool pt_net_mac_parse(const char *text, guint8 ret[6]);

/* Writes DIR/.NAME and renames it, so that DIR/NAME is whole whenever it is there. Mode 0640, owned by root and `gid`. Not
 * synced: RUN does not survive a reboot. */
bool pt_net_file_put(const char *dir, const char *name, const char *text, gid_t gid, GError **error);
