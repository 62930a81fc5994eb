# What the broker may do on its machine, as directives of systemd.exec(5): nothing but
# speak to the network and write its own directories. Plain data without nixpkgs, for
# the module and for contrib/systemd alike.
{
  # Whether the broker itself binds a port below 1024. If systemd opens the sockets
  # there is no need for it.
  privilegedPort,
}:

let
  # The empty string takes everything away; an empty list would say nothing.
  capabilities = if privilegedPort then [ "CAP_NET_BIND_SERVICE" ] else [ "" ];
in
{
  DynamicUser = true;
  NoNewPrivileges = true;
  AmbientCapabilities = capabilities;
  CapabilityBoundingSet = capabilities;
  # In a user namespace of its own the capability says nothing of the machine's ports.
  PrivateUsers = !privilegedPort;

  ProtectSystem = "strict";
  ProtectHome = true;
  PrivateTmp = true;
  PrivateDevices = true;
  PrivateMounts = true;
  DevicePolicy = "closed";
  UMask = "0077";

  ProtectProc = "invisible";
  # Not "pid": the metrics of the process need the time of boot from /proc/stat.
  ProcSubset = "all";
  ProtectClock = true;
  ProtectControlGroups = true;
  ProtectHostname = true;
  ProtectKernelLogs = true;
  ProtectKernelModules = true;
  ProtectKernelTunables = true;

  # AF_UNIX is for systemd's notifications and the socket of the administration.
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
