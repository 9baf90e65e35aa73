# Runs as root inside the new tree, after the packages and the overlay are in it.
export LC_ALL=C

# What makes no sense, or only costs time, in a guest whose hardware, clock, names and mounts are its host's.
for unit in \
  dev-hugepages.mount dev-mqueue.mount sys-fs-fuse-connections.mount sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
  proc-sys-fs-binfmt_misc.automount proc-sys-fs-binfmt_misc.mount systemd-binfmt.service systemd-modules-load.service kmod-static-nodes.service \
  modprobe@.service systemd-remount-fs.service systemd-pstore.service systemd-random-seed.service systemd-firstboot.service \
  systemd-machine-id-commit.service systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-boot-random-seed.service \
  systemd-ask-password-console.path systemd-ask-password-wall.path systemd-logind.service systemd-hwdb-update.service \
  systemd-journal-catalog-update.service systemd-update-done.service systemd-sysusers.service ldconfig.service systemd-rfkill.socket \
  systemd-initctl.socket systemd-network-generator.service systemd-journald-audit.socket systemd-journal-flush.service \
  systemd-networkd-wait-online.service systemd-networkd-persistent-storage.service systemd-tmpfiles-setup-dev-early.service \
  getty-static.service getty@tty1.service \
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
  systemd-tmpfiles-clean.timer systemd-tmpfiles-setup-dev.service cryptsetup.target integritysetup.target veritysetup.target
do
  ln -sf /dev/null "/etc/systemd/system/$unit"
done
# Each of these is a program that systemd runs, and waits for, before it starts anything.
mkdir -p /etc/systemd/system-generators
for generator in bless-boot cryptsetup debug gpt-auto hibernate-resume integritysetup run system-update veritysetup; do
  ln -sf /dev/null "/etc/systemd/system-generators/systemd-$generator-generator"
done
systemctl set-default multi-user.target
systemctl enable systemd-networkd.service console-getty.service
systemctl disable remote-fs.target
# Started by its socket, when somebody asks.
rm -f /lib/systemd/system/multi-user.target.wants/dbus.service
# /etc and /var are as new as /usr: no update jobs at the first start.
printf 'TIMESTAMP_NSEC=4000000000000000000\n' | tee /etc/.updated > /var/.updated

# Credentials: nobody hands any over, and the mount namespace that they are put in place from is one that QEMU's user emulator does not
# make (images for another architecture). systemd has these lines from release 254 on.
for unit in $(grep -l '^ImportCredential=' /lib/systemd/system/*.service); do
  mkdir -p "/etc/systemd/system/${unit##*/}.d"
  printf '[Service]\nImportCredential=\n' > "/etc/systemd/system/${unit##*/}.d/50-portena-credentials.conf"
done

# Kernel settings are the host's, unless somebody writes some down here.
rm -f /etc/sysctl.d/99-sysctl.conf

# Each instance gets its own identity at its first start.
: > /etc/machine-id
rm -f /var/lib/dbus/machine-id /etc/hostname /etc/resolv.conf /etc/ssh/ssh_host_*
ln -s /etc/machine-id /var/lib/dbus/machine-id

# Completion for everybody, read when it is first asked for: a console that nobody looks at need not hold a megabyte of it. 124: try again (bash(1)).
rm -f /etc/profile.d/bash_completion.sh
cat >> /etc/bash.bashrc <<'END'

if ! shopt -oq posix && [ -r /usr/share/bash-completion/bash_completion ]; then
  _portena_completion() {
    complete -r -D
    unset -f _portena_completion
    . /usr/share/bash-completion/bash_completion
    return 124
  }
  complete -D -F _portena_completion
fi
[ -r /etc/profile.d/portena.sh ] && . /etc/profile.d/portena.sh
END

ldconfig
rm -rf /var/log/*.log /var/log/apt /var/cache/debconf/*-old /var/cache/ldconfig/*
