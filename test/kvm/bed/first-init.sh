#!/bin/busybox sh
# The first process of the machine that has the KVM: loads the modules, mounts the disk, and goes on there.
busybox=/bin/busybox
$busybox mount -t devtmpfs dev /dev
for module in /modules/*.ko; do
  $busybox insmod "$module" || echo "bed: cannot load $module"
done
$busybox mount -t ext4 -o ro,noatime /dev/vda /disk || echo 'bed: there is no disk'
$busybox mount --move /dev /disk/dev
exec $busybox switch_root /disk /bed-init
