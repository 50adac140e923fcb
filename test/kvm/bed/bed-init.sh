#!/bin/sh
# Runs from the disk: mounts what a user of KVM expects, and obeys the commands that come in by the port `shell`.
export PATH=/usr/bin:/usr/sbin HOME=/run TERM=dumb
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
mkdir -p /dev/shm /dev/pts
mount -t tmpfs shm /dev/shm
mount -t devpts pts /dev/pts
mount -t ext4 -o ro,noatime /dev/vdb /project
ip link set lo up
mkdir -p /run/ports
for port in /sys/class/virtio-ports/*; do
  ln -s "/dev/${port##*/}" "/run/ports/$(cat "$port/name")"
done
echo "bed: up after $(cut -d' ' -f1 /proc/uptime) s" > /dev/console

# A line is a number and a command in base64; what the command prints goes back, then a line with its number and exit code.
# A port can be opened once, and reads as ended while nobody is connected to it.
exec 3<> /run/ports/shell
while :; do
  while read -r number command; do
    echo "$command" | base64 -d > /tmp/command
    sh /tmp/command < /dev/null 2>&1
    code=$?
    echo
    echo "@bed $number $code"
  done <&3 >&3
  sleep 1
done
