"""The guests whose domains are kept as golden XML: each line stands for something that changes the document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from compute_svc.domain.model import (
    BlockDeviceInfo,
    DomainType,
    EphemeralBlockDevice,
    HostCaps,
    ImageBlockDevice,
    VifKind,
    VifSubnet,
)
from tests.unit.compute_svc.given import EMBEDDED, IMAGE, KVM, Guest, a_spec, a_vif, a_volume

WINDOWS = {"os_type": "windows", "hw_disk_bus": "sata", "hw_vif_model": "e1000", "hw_video_model": "vga"}
TOPOLOGY = {"hw_cpu_sockets": "2", "hw_cpu_cores": "2", "hw_cpu_threads": "2"}
TWO_VOLUMES = (a_volume(1), a_volume(2, "/dev/vdd", access_mode="ro"))

MATRIX: Mapping[str, Guest] = MappingProxyType(
    {
        "pc_kvm": Guest(spec=a_spec(), vifs=(a_vif(),)),
        "pc_embedded": Guest(spec=a_spec(), vifs=(a_vif(),), host=EMBEDDED),
        "pc_test": Guest(spec=a_spec(), vifs=(a_vif(),), host=HostCaps(domain_type=DomainType.TEST)),
        "pc_host_chooses": Guest(
            spec=a_spec({"hw_machine_type": "pc-i440fx-7.2", "hw_architecture": "amd64"}),
            host=replace(
                KVM,
                emulator="/usr/bin/qemu-system-x86_64",
                machine_types=frozenset({"pc", "pc-i440fx-7.2"}),
                direct_io=False,
            ),
        ),
        "q35": Guest(
            spec=a_spec({"hw_machine_type": "q35"}),
            block_devices=BlockDeviceInfo(volumes=TWO_VOLUMES),
            vifs=(a_vif(),),
        ),
        "iso_root": Guest(spec=a_spec(disk_format="iso"), vifs=(a_vif(),)),
        "ephemeral_and_swap": Guest(spec=a_spec(ephemeral_gib=20, swap_mib=512)),
        "listed_ephemerals": Guest(
            spec=a_spec(config_drive=False),
            block_devices=BlockDeviceInfo(
                image=(ImageBlockDevice(image_id=IMAGE, device_name="/dev/vda"),),
                ephemerals=(EphemeralBlockDevice(size_gib=1), EphemeralBlockDevice(size_gib=2)),
            ),
        ),
        "volumes": Guest(spec=a_spec(), block_devices=BlockDeviceInfo(volumes=TWO_VOLUMES)),
        "volume_root": Guest(
            spec=a_spec({"hw_disk_bus": "scsi"}),
            block_devices=BlockDeviceInfo(volumes=(a_volume(1, boot_index=0), a_volume(2, boot_index=1))),
        ),
        "scsi": Guest(
            spec=a_spec({"hw_disk_bus": "scsi", "hw_cdrom_bus": "scsi"}),
            block_devices=BlockDeviceInfo(volumes=TWO_VOLUMES[:1]),
        ),
        "scsi_lsilogic": Guest(spec=a_spec({"hw_disk_bus": "scsi", "hw_scsi_model": "lsilogic"})),
        "usb_disk": Guest(spec=a_spec({"hw_disk_bus": "usb"}), host=EMBEDDED),
        "windows_kvm": Guest(spec=a_spec(WINDOWS, vcpus=2), vifs=(a_vif(),)),
        "windows_emulated": Guest(spec=a_spec(WINDOWS, vcpus=2), vifs=(a_vif(),), host=EMBEDDED),
        "guest_agent": Guest(spec=a_spec({"hw_qemu_guest_agent": "yes"})),
        "watchdog_menu_hpet": Guest(
            spec=a_spec({"hw_watchdog_action": "reset", "hw_boot_menu": "true", "hw_time_hpet": "True"})
        ),
        "uefi": Guest(spec=a_spec({"hw_machine_type": "q35", "hw_firmware_type": "uefi"})),
        "cpu_topology": Guest(spec=a_spec(TOPOLOGY, vcpus=8)),
        "pointer_of_a_pc": Guest(spec=a_spec({"hw_pointer_model": "ps2mouse"})),
        "virtio_input": Guest(spec=a_spec({"hw_input_bus": "virtio"})),
        "config_drive_by_image": Guest(spec=a_spec({"img_config_drive": "mandatory"}, config_drive=False)),
        "vifs_kvm": Guest(
            spec=a_spec(),
            vifs=(
                a_vif(VifKind.USER, 1),
                a_vif(VifKind.BRIDGE, 2, mtu=9000),
                a_vif(VifKind.NETWORK, 3, mtu=0),
                a_vif(VifKind.USER, 4, subnets=[VifSubnet(cidr="2001:db8::/64", version=6)]),
            ),
        ),
        "vifs_emulated": Guest(
            spec=a_spec(), vifs=(a_vif(VifKind.BRIDGE, 1), a_vif(VifKind.NETWORK, 2)), host=EMBEDDED
        ),
        "hostile_name": Guest(spec=a_spec(display_name="</protostar:name>&\x00\x1b\"'\ud7ff\ufffe 日本 ]]>")),
    }
)
