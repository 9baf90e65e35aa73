// SPDX-License-Identifier: Apache-2.0
/* Traffic control, tc(8): how fast a link may send, and, by a detour through another link, receive.
 *
 * Theory of operation. A kernel can hold back only what leaves a link, by a queue (tbf: a token bucket). What comes in is therefore sent
 * out of an "ifb" first, which has such a queue and gives back what comes out of it as if it had just come in where it did; filters see
 * it only then. Waiting instead of dropping (policing) is what keeps a TCP connection at its rate instead of far below it. */
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <netinet/in.h>
#include <string.h>

#include "base/error.h"
#include "drivers/network/netlink_impl.h"

#define OUT_HANDLE (1u << 16)             /* "1:" */
#define IN_HANDLE (TC_H_INGRESS & 0xffff0000u) /* "ffff:" */
/* Bytes that go at once after a pause: a twentieth of a second's, but a few frames, and not more than a switch would hold. A frame of
 * many segments (GSO) that is larger is cut into them by tbf. */
#define BURST_LEAST (16u << 10)
#define BURST_MOST (4u << 20)
/* Bytes that wait: a tenth of a second's. The least lets one frame of many segments in. */
#define QUEUE_LEAST (64u << 10)
#define QUEUE_MOST (32u << 20)

static struct nlmsghdr *
begin_tc(PtNl *nl, guint16 type, guint16 flags, guint32 index, guint32 parent, guint32 handle)
{
  struct nlmsghdr *msg = pt_nl_begin(nl, type, flags | NLM_F_ACK);
  struct tcmsg *tc = mnl_nlmsg_put_extra_header(msg, sizeof *tc);

  tc->tcm_family = AF_UNSPEC;
  tc->tcm_ifindex = (int)index;
  tc->tcm_parent = parent;
  tc->tcm_handle = handle;
  return msg;
}

/* 0 or an errno; absent is success. */
static int
del_queue(PtNl *nl, guint32 index, guint32 parent)
{
  int err = pt_nl_talk(nl, begin_tc(nl, RTM_DELQDISC, 0, index, parent, 0), NULL, NULL);

  return err == ENOENT ? 0 : err;
}

static int
set_queue(PtNl *nl, guint32 index, guint64 rate)
{
  guint32 burst = (guint32)CLAMP(rate / 20, BURST_LEAST, BURST_MOST);
  struct tc_tbf_qopt q = {
    .rate = { .rate = (guint32)MIN(rate, G_MAXUINT32), .linklayer = TC_LINKLAYER_ETHERNET },
    .limit = burst + (guint32)CLAMP(rate / 10, QUEUE_LEAST, QUEUE_MOST),
  };
  struct nlmsghdr *msg = begin_tc(nl, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, index, TC_H_ROOT, OUT_HANDLE);

  mnl_attr_put_strz(msg, TCA_KIND, "tbf");
  struct nlattr *options = mnl_attr_nest_start(msg, TCA_OPTIONS);
  mnl_attr_put(msg, TCA_TBF_PARMS, sizeof q, &q);
  mnl_attr_put_u64(msg, TCA_TBF_RATE64, rate);
  mnl_attr_put_u32(msg, TCA_TBF_BURST, burst);
  mnl_attr_nest_end(msg, options);
  return pt_nl_talk(nl, msg, NULL, NULL);
}

/* A kernel without what it takes; each kernel of a distribution has it as modules that come by themselves. */
static bool
told(int err, GError **error, const char *name)
{
  if (err == ENOENT || err == EOPNOTSUPP) {
    PT_SET(error, PT_ERR_UNSUPPORTED, "%s: this kernel cannot limit how fast a network card is", name);
    pt_error_hint(error, "it takes the modules sch_tbf, sch_ingress, cls_u32, act_mirred and ifb");
    return false;
  }
  return pt_nl_done(err, error, "its rate", name);
}

bool
pt_nl_rate_set(PtNl *nl, const char *name, guint64 rate, GError **error)
{
  guint32 index;
  int err = pt_nl_index(nl, name, &index);

  if (err)
    return pt_nl_done(err, error, "its rate", name);
  return told(rate ? set_queue(nl, index, rate) : del_queue(nl, index, TC_H_ROOT), error, name);
}

/* The filter that takes everything. */
static int
redirect(PtNl *nl, guint32 index, guint32 to)
{
  const struct tc_u32_sel sel = { .flags = TC_U32_TERMINAL, .nkeys = 1 };
  guint8 all[sizeof sel + sizeof(struct tc_u32_key)] = { 0 }; /* one key, of which no bit counts */
  struct tc_mirred m = { .action = TC_ACT_STOLEN, .eaction = TCA_EGRESS_REDIR, .ifindex = to };
  struct nlmsghdr *msg = begin_tc(nl, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, index, IN_HANDLE, 0);
  struct tcmsg *tc = mnl_nlmsg_get_payload(msg);

  memcpy(all, &sel, sizeof sel);
  tc->tcm_info = TC_H_MAKE(1u << 16, htons(ETH_P_ALL));
  mnl_attr_put_strz(msg, TCA_KIND, "u32");
  struct nlattr *options = mnl_attr_nest_start(msg, TCA_OPTIONS);
  mnl_attr_put(msg, TCA_U32_SEL, sizeof all, all);
  struct nlattr *actions = mnl_attr_nest_start(msg, TCA_U32_ACT);
  struct nlattr *first = mnl_attr_nest_start(msg, 1);
  mnl_attr_put_strz(msg, TCA_ACT_KIND, "mirred");
  struct nlattr *action = mnl_attr_nest_start(msg, TCA_ACT_OPTIONS);
  mnl_attr_put(msg, TCA_MIRRED_PARMS, sizeof m, &m);
  mnl_attr_nest_end(msg, action);
  mnl_attr_nest_end(msg, first);
  mnl_attr_nest_end(msg, actions);
  mnl_attr_nest_end(msg, options);
  return pt_nl_talk(nl, msg, NULL, NULL);
}

static int
set_detour(PtNl *nl, guint32 index, guint32 to)
{
  struct nlmsghdr *msg = begin_tc(nl, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, index, TC_H_INGRESS, IN_HANDLE);

  mnl_attr_put_strz(msg, TCA_KIND, "ingress");
  int err = pt_nl_talk(nl, msg, NULL, NULL);
  return err ? err : redirect(nl, index, to);
}

/* Anew each time: a detour that a killed daemon left half made looks like one that is there. */
bool
pt_nl_detour(PtNl *nl, const char *name, const char *by, GError **error)
{
  guint32 index, to = 0;
  int err = pt_nl_index(nl, name, &index);

  if (!err && by)
    err = pt_nl_index(nl, by, &to);
  if (err)
    return pt_nl_done(err, error, "its rate", name);
  err = del_queue(nl, index, TC_H_INGRESS);
  return told(err || !by ? err : set_detour(nl, index, to), error, name);
}
