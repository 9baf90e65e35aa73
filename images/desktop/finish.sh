# Runs as root inside the new tree, after debian's: the user, and every cache that a first start would otherwise make.
export LC_ALL=C

useradd --create-home --uid 1000 --user-group --shell /bin/bash --comment 'User' user
usermod -p '*' user
chmod 0440 /etc/sudoers.d/user
for dir in Desktop Documents Downloads Music Pictures Videos; do
  install -d -o user -g user "/home/user/$dir"
done
install -d -o user -g user -m 700 /home/user/.config /home/user/.cache /home/user/.local /home/user/.local/share
printf '%s\n' 'XDG_DESKTOP_DIR="$HOME/Desktop"' 'XDG_DOWNLOAD_DIR="$HOME/Downloads"' 'XDG_DOCUMENTS_DIR="$HOME/Documents"' \
  'XDG_MUSIC_DIR="$HOME/Music"' 'XDG_PICTURES_DIR="$HOME/Pictures"' 'XDG_VIDEOS_DIR="$HOME/Videos"' > /home/user/.config/user-dirs.dirs
chown user:user /home/user/.config/user-dirs.dirs

for unit in udev.service systemd-udevd.service systemd-udev-trigger.service systemd-udev-settle.service systemd-udevd-control.socket \
  systemd-udevd-kernel.socket udisks2.service polkit.service colord.service avahi-daemon.service avahi-daemon.socket
do
  ln -sf /dev/null "/etc/systemd/system/$unit"
done
systemctl enable portena-desktop.service

# There is no disk to be plugged in here; each start would run a program to find that out.
rm -f /usr/share/gvfs/remote-volume-monitors/udisks2.monitor
# No agent asks for passwords here, no document indexer and no session manager runs.
rm -f /etc/xdg/autostart/*.desktop
# Not for people, or twice in the menu.
for app in xfce4-mail-reader xfce4-web-browser xfce4-file-manager xfce4-terminal-emulator panel-desktop-handler xfce4-terminal-settings \
  thunar-settings thunar-bulk-rename org.xfce.mousepad-settings xfce4-notifyd-config xfce4-color-settings xfce4-accessibility-settings \
  xfce-workspaces-settings xfce-wmtweaks-settings panel-preferences xfce4-mime-settings python3.11
do
  f=/usr/share/applications/$app.desktop
  [ ! -e "$f" ] || sed -i -e '/^NoDisplay=/d' -e 's/^\[Desktop Entry\]/&\nNoDisplay=true/' "$f"
done

# Drawn once: a start decodes a picture and renders none.
cd /usr/share/backgrounds/portena
rsvg-convert -w 1920 -h 1200 -o dawn.png dawn.svg
python3 -c 'import ctypes
gdk = ctypes.CDLL("libgdk_pixbuf-2.0.so.0")
gdk.gdk_pixbuf_new_from_file.restype = ctypes.c_void_p
picture = gdk.gdk_pixbuf_new_from_file(b"dawn.png", None)
assert gdk.gdk_pixbuf_save(ctypes.c_void_p(picture), b"dawn.jpg", b"jpeg", None, b"quality", b"95", None)'
rm dawn.png
for size in 24 32 48; do
  install -d /usr/share/icons/hicolor/${size}x$size/apps
  rsvg-convert -w $size -h $size -o /usr/share/icons/hicolor/${size}x$size/apps/portena-menu.png /usr/share/icons/hicolor/scalable/apps/portena-menu.svg
done
cd /

for theme in /usr/share/icons/*/; do
  [ ! -e "$theme/index.theme" ] || gtk-update-icon-cache -q -f "$theme"
done
# Built for another architecture, it is seen twice: images/foreign.sh.
set -- /usr/lib/*/glib-2.0/glib-compile-schemas
"$1" /usr/share/glib-2.0/schemas
update-mime-database /usr/share/mime
update-desktop-database -q
cat > /etc/xdg/mimeapps.list <<'END'
[Default Applications]
text/html=firefox-esr.desktop
x-scheme-handler/http=firefox-esr.desktop
x-scheme-handler/https=firefox-esr.desktop
inode/directory=thunar.desktop
text/plain=org.xfce.mousepad.desktop
application/pdf=org.gnome.Evince.desktop
image/png=org.xfce.ristretto.desktop
image/jpeg=org.xfce.ristretto.desktop
image/gif=org.xfce.ristretto.desktop
image/webp=org.xfce.ristretto.desktop
image/svg+xml=org.xfce.ristretto.desktop
application/zip=xarchiver.desktop
application/x-tar=xarchiver.desktop
application/x-compressed-tar=xarchiver.desktop
END
cat > /etc/xdg/xfce4/helpers.rc <<'END'
WebBrowser=firefox
TerminalEmulator=xfce4-terminal
FileManager=thunar
END

# Whatever is newer in the image than its newest package gets that package's time when it is packed. fontconfig compares the times of
# directories with those in its cache, so they get theirs now.
newest=$(find /usr /etc /var /home -xdev ! -newermt "@$PORTENA_STARTED" -printf '%Ts\n' | sort -n | tail -1)
mkdir -p /usr/local/share/fonts
find -L /usr/share/fonts /usr/local/share/fonts -type d -exec touch -d "@$newest" {} +
fc-cache --system-only --really-force
ldconfig
rm -rf /var/log/*.log /var/cache/debconf/*-old /var/cache/ldconfig/* /root/.cache /home/user/.bash_logout
