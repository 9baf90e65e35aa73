# SPDX-License-Identifier: Apache-2.0
# Runs in the jail beside an apt that has its lists: $1 Debian's name of the architecture, $2 apt's tree. Leaves /job/root.
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
arch=$1
cd /job
case $arch in
  amd64 | arm64) meta=linux-image-cloud-$arch ;;
  *) meta=linux-image-$arch ;;
esac

download() { APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -o APT::Sandbox::User=root download "$1"; }
echo '@STEP Downloading the kernel'
download "$meta:$arch"
package=$(dpkg-deb -f "$meta"_*.deb Depends | tr ', ' '\n\n' | grep -m 1 '^linux-image-')
download "$package:$arch"
echo '@STEP Choosing modules'
mkdir kernel initrd initrd/modules root
dpkg-deb --fsys-tarfile "$package"_*.deb | tar -x -C kernel --no-same-owner ./boot ./lib/modules 2>/dev/null ||
  dpkg-deb --fsys-tarfile "$package"_*.deb | tar -x -C kernel --no-same-owner ./boot ./usr/lib/modules
[ -d kernel/lib ] || ln -s usr/lib kernel/lib
version=$(ls kernel/lib/modules)
depmod -b kernel "$version"

# With what each needs before it, and none twice. What this kernel has built in, or not at all, is left out.
pick() { # MODULE MARK
  modprobe -d "$PWD/kernel" -S "$version" --show-depends "$1" 2>/dev/null | while read -r how file _; do
    [ "$how" = insmod ] || continue
    name=$(basename "$file")
    plain=${name%.xz}
    plain=${plain%.zst}
    plain=${plain%.ko}
    [ ! -e "initrd/modules/$plain.ko" ] || continue
    case $name in
      *.xz) xz -dc "$file" > "initrd/modules/$plain.ko" ;;
      *.zst) zstd -qdc "$file" > "initrd/modules/$plain.ko" ;;
      *) cp "$file" "initrd/modules/$plain.ko" ;;
    esac
    printf '%s%s\n' "$2" "$plain" >> initrd/modules/order
  done
}
for module in virtio_mmio virtio_pci virtio_blk erofs ext4 overlay virtio_console virtio_net; do pick $module ''; done
# Nothing waits for these: the agent loads them when the system is on its way.
for module in virtio_rng virtio_balloon virtio_mem fuse autofs4 tun; do pick $module +; done
for module in virtio_blk virtio_console erofs ext4 overlay; do
  grep -q "/$module\.ko" "kernel/lib/modules/$version/modules.builtin" || [ -e initrd/modules/$module.ko ] ||
    { echo "$package has no $module" >&2; exit 1; }
done

install -m 755 /opt/guest initrd/init
cp -p kernel/boot/vmlinu[xz]-"$version" root/vmlinuz
chmod 644 root/vmlinuz
# The same packages and the same portena-guest give the same image.
find initrd -exec touch -h -r root/vmlinuz {} +
(cd initrd && find . | sort | cpio --quiet --reproducible -o -H newc -R 0:0) > root/initrd
touch -r root/vmlinuz root/initrd
printf '%s' "$version" > version
