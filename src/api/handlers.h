// SPDX-License-Identifier: Apache-2.0
#pragma once
/* What the table of routes calls. A handler answers into r->reply and returns true, or sets the error. It runs on the
 * connection's thread and may block. */
#include "api/request.h"

#define PT_HANDLER(name) bool name(PtRequest *r, GError **error)

PT_HANDLER(pt_health_get);
PT_HANDLER(pt_metrics_get);
PT_HANDLER(pt_server_get);
PT_HANDLER(pt_openapi_get);
PT_HANDLER(pt_node_get);
PT_HANDLER(pt_doctor_get);
PT_HANDLER(pt_audit_get);

PT_HANDLER(pt_session_create);
PT_HANDLER(pt_session_get);
PT_HANDLER(pt_session_delete);
PT_HANDLER(pt_tokens_get);
PT_HANDLER(pt_tokens_create);
PT_HANDLER(pt_tokens_delete);
PT_HANDLER(pt_users_list);
PT_HANDLER(pt_users_create);
PT_HANDLER(pt_users_get);
PT_HANDLER(pt_users_change);
PT_HANDLER(pt_users_delete);
PT_HANDLER(pt_totp_begin);
PT_HANDLER(pt_totp_prove);
PT_HANDLER(pt_totp_remove);

PT_HANDLER(pt_spaces_list);
PT_HANDLER(pt_spaces_create);
PT_HANDLER(pt_spaces_get);
PT_HANDLER(pt_spaces_change);
PT_HANDLER(pt_spaces_delete);
PT_HANDLER(pt_members_put);
PT_HANDLER(pt_members_delete);
PT_HANDLER(pt_network_get);
PT_HANDLER(pt_volumes_list);
PT_HANDLER(pt_volumes_get);
PT_HANDLER(pt_volumes_change);
PT_HANDLER(pt_volumes_create);
PT_HANDLER(pt_volumes_delete);
PT_HANDLER(pt_disks_attach);
PT_HANDLER(pt_disks_detach);

PT_HANDLER(pt_instances_all);
PT_HANDLER(pt_instances_list);
PT_HANDLER(pt_instances_get);
PT_HANDLER(pt_instances_change);
PT_HANDLER(pt_nics_attach);
PT_HANDLER(pt_nics_detach);
PT_HANDLER(pt_instances_delete);
PT_HANDLER(pt_launch);
PT_HANDLER(pt_actions_post);
PT_HANDLER(pt_samples_get);
PT_HANDLER(pt_processes_instance);
PT_HANDLER(pt_processes_space);
PT_HANDLER(pt_logs_get);
PT_HANDLER(pt_exec_post);
PT_HANDLER(pt_console_get);
PT_HANDLER(pt_desktop_get);
PT_HANDLER(pt_thumbnail_get);
PT_HANDLER(pt_files_get);
PT_HANDLER(pt_files_upload);
PT_HANDLER(pt_files_put);
PT_HANDLER(pt_files_delete);

PT_HANDLER(pt_images_get_all);
PT_HANDLER(pt_images_upload);
PT_HANDLER(pt_images_create);
PT_HANDLER(pt_recipes_get);
PT_HANDLER(pt_images_prune);
PT_HANDLER(pt_images_get_one);
PT_HANDLER(pt_images_change);
PT_HANDLER(pt_images_delete);
PT_HANDLER(pt_images_export_post);
PT_HANDLER(pt_instances_export_post);
PT_HANDLER(pt_exports_get);
PT_HANDLER(pt_exports_delete);

PT_HANDLER(pt_operations_list);
PT_HANDLER(pt_operations_get);
PT_HANDLER(pt_operations_cancel);
PT_HANDLER(pt_events_get);
