#!/usr/bin/env bash
# Prints the folder of a test VM for this machine, and makes it first if it is not there: Debian's kernel, its headers and
# an initramfs that boots this very root file system (9p below, tmpfs above). Usage: vm-build.sh CACHE_DIR
# Needs: apt lists, dpkg-deb, busybox-static, kmod, cpio. Nothing is installed and no root is needed.
set -euo pipefail
cache=$(realpath -m "$1")
mkdir -p "$cache"

exec 9>"$cache/lock"
flock 9 # two suites may want it at once

release=$(apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/.*Depends: linux-image-\([0-9].*\)$/\1/p' | head -1)
if [ -z "$release" ]; then
  # No apt lists: any VM made earlier will do.
  ready=$(find "$cache" -maxdepth 2 -name ready | sort -V | tail -1)
  [ -n "$ready" ] || { echo "vm: apt knows no linux-image-amd64: run apt-get update (Debian amd64 only)" >&2; exit 1; }
  dirname "$ready"
  exit 0
fi
vm=$cache/$release-$(sha256sum "${BASH_SOURCE[0]}" | cut -c1-8)
if [ -e "$vm/ready" ]; then
  echo "$vm"
  exit 0
fi

for tool in dpkg-deb busybox depmod modprobe cpio; do
  PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null || { echo "vm: $tool is missing; see test/v4l2/packages" >&2; exit 1; }
done
PATH=$PATH:/usr/sbin:/sbin
echo "vm: making a Linux $release guest in $vm" >&2
rm -rf "$cache/$release"-* # also what an older state of this script made
mkdir -p "$vm/debs" "$vm/kernel" "$vm/headers" "$vm/initramfs"/{bin,modules,proc,sys,dev,lower,upper,newroot}

flavour=${release##*-}
common=${release%-"$flavour"}
kbuild=linux-kbuild-$(echo "$release" | grep -o '^[0-9]*\.[0-9]*')
(cd "$vm/debs" && apt-get -qq -o APT::Sandbox::User="$(id -un)" download \
  "linux-image-$release" "linux-headers-$release" "linux-headers-$common-common" "$kbuild")

# Of the modules only what a camera test can need: the rest is 300 MB.
modules=./lib/modules/$release
dpkg-deb --fsys-tarfile "$vm"/debs/linux-image-*.deb |
  tar -x -C "$vm/kernel" --wildcards "./boot/vmlinuz-$release" "$modules/modules.builtin*" "$modules/modules.order" \
    "$modules/kernel/drivers/media/*" "$modules/kernel/drivers/virtio/*" "$modules/kernel/drivers/char/*" \
    "$modules/kernel/drivers/video/*" "$modules/kernel/drivers/net/dummy.ko" "$modules/kernel/net/9p/*" \
    "$modules/kernel/fs/*" "$modules/kernel/lib/*"
depmod -b "$vm/kernel" "$release"
for deb in "$vm"/debs/linux-headers-*.deb "$vm"/debs/linux-kbuild-*.deb; do dpkg-deb -x "$deb" "$vm/headers"; done
rm -rf "$vm/debs"
# Debian's Makefile names the common headers by the place where the package would have put them.
sed -i "s|^include /usr/src/|include $vm/headers/usr/src/|" "$vm/headers/usr/src/linux-headers-$release/Makefile"

cp "$(command -v busybox)" "$vm/initramfs/bin/"
: >"$vm/initramfs/modules/order"
for module in virtio_pci virtio_console 9pnet_virtio 9p overlay; do
  modprobe -d "$vm/kernel" -S "$release" --show-depends "$module" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
done | awk '!seen[$0]++' | while read -r file; do
  cp "$file" "$vm/initramfs/modules/"
  basename "$file" >>"$vm/initramfs/modules/order"
done

cat >"$vm/initramfs/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc none /proc; mount -t sysfs none /sys; mount -t devtmpfs none /dev
while read -r module; do insmod "/modules/$module" || echo "vm: insmod $module failed"; done </modules/order
options=trans=virtio,version=9p2000.L,msize=262144
mount -t 9p -o $options,ro,cache=loose root /lower || echo "vm: no root file system"
mount -t tmpfs none /upper; mkdir /upper/files /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work,index=off none /newroot
mkdir -p /newroot/run/vm
mount -t 9p -o $options,rw,cache=none shared /newroot/run/vm || echo "vm: no shared folder"
for place in proc sys dev; do mount --move /$place /newroot/$place; done
cp /bin/busybox /newroot/run/busybox; cp /guest.sh /newroot/run/guest.sh
exec switch_root /newroot /run/busybox sh /run/guest.sh
INIT

# Process 1 of the guest: runs the shared folder's `command`, its output going to the virtio port untouched.
cat >"$vm/initramfs/guest.sh" <<'GUEST'
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
bb=/run/busybox
$bb mkdir -p /dev/shm /dev/pts /lib/modules /sys/kernel/debug
$bb mount -t devpts none /dev/pts; $bb mount -t tmpfs none /dev/shm
$bb mount --bind "$($bb cat /run/vm/modules)" /lib/modules
$bb ip link set lo up
until [ -c "$port" ]; do for port in /dev/vport*p1; do :; done; $bb sleep 0.05; done
setsid bash /run/vm/command >"$port" 2>&1 </dev/null
echo $? >/run/vm/status
$bb sync
$bb umount /run/vm
$bb poweroff -f
GUEST
chmod +x "$vm/initramfs/init"
(cd "$vm/initramfs" && find . | cpio -o -H newc --quiet | gzip -1) >"$vm/initramfs.gz"
echo "$release" >"$vm/ready"
echo "$vm"
