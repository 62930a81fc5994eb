# The broker's sandbox, as directives of systemd.exec(5): the broker may use the network
# and write to its own directories, nothing else. Plain data without nixpkgs, used by the
# module and by contrib/systemd.
{
  # True if the broker itself binds a port below 1024. Not needed if systemd opens the
  # sockets.
  privilegedPort,
}:

let
  # The empty string drops all capabilities; an empty list would generate no directive.
  capabilities = if privilegedPort then [ "CAP_NET_BIND_SERVICE" ] else [ "" ];
in
{
  DynamicUser = true;
  NoNewPrivileges = true;
  AmbientCapabilities = capabilities;
  CapabilityBoundingSet = capabilities;
  # In a separate user namespace, the capability does not cover the machine's ports.
  PrivateUsers = !privilegedPort;

  ProtectSystem = "strict";
  ProtectHome = true;
  PrivateTmp = true;
  PrivateDevices = true;
  PrivateMounts = true;
  DevicePolicy = "closed";
  UMask = "0077";

  ProtectProc = "invisible";
  # Not "pid": the process metrics read the boot time from /proc/stat.
  ProcSubset = "all";
  ProtectClock = true;
  ProtectControlGroups = true;
  ProtectHostname = true;
  ProtectKernelLogs = true;
  ProtectKernelModules = true;
  ProtectKernelTunables = true;

  # AF_UNIX is for notifications to systemd and the administration socket.
  RestrictAddressFamilies = [
    "AF_INET"
    "AF_INET6"
    "AF_UNIX"
  ];
  RestrictNamespaces = true;
  RestrictRealtime = true;
  RestrictSUIDSGID = true;
  RemoveIPC = true;
  PrivateIPC = true;
  KeyringMode = "private";
  LockPersonality = true;
  MemoryDenyWriteExecute = true;
  SystemCallArchitectures = "native";
  SystemCallFilter = [
    "@system-service"
    "~@privileged @resources"
  ];
  SystemCallErrorNumber = "EPERM";
}
