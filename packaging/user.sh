#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the user that portena-gateway runs as, and its group, where they are missing. Needs root.
set -eu
user=portena-gateway
getent passwd $user >/dev/null ||
  useradd --system --user-group --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin --comment "Portena's face to the network" $user
