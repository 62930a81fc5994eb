# The broker's systemd units, as plain data in terms of NixOS options, used by the module
# and by contrib/systemd.
rec {
  # Members of this group may administer a running broker. Its name must differ from the
  # service's dynamic user: systemd refuses a dynamic user whose group already exists.
  operators = "snowflake-broker-operators";

  # Shares of the machine's memory. 50,000 parked polls take 0.4 GB, over TLS 0.9 GB.
  memory = {
    high = "70%";
    max = "80%";
  };

  service =
    {
      # The broker's command line.
      command,
      # True if the broker itself binds a port below 1024.
      privilegedPort,
      # The sockets that systemd passes to the broker: names in `sockets`.
      passes,
      # Paths outside its own directories that the broker writes to.
      writes ? [ ],
      # The soft and the hard memory limit.
      memoryHigh ? memory.high,
      memoryMax ? memory.max,
    }:
    let
      isPassed = purpose: builtins.elem purpose passes;
      # The broker does not start without the main socket; it can open the others itself.
      required = builtins.filter isPassed [ "http" ];
      optional = builtins.filter (purpose: purpose != "http") passes;
      units = map socketUnit;
    in
    {
      description = "Snowflake broker";
      documentation = [ "man:snowflake-broker(1)" ];
      wants = [ "network-online.target" ] ++ units optional;
      after = [ "network-online.target" ] ++ units (required ++ optional);
      requires = units required;
      # systemd never gives up restarting the broker, however often it fails.
      startLimitIntervalSec = 0;
      # The broker warns if it has to open one of them itself.
      environment =
        if passes == [ ] then
          { }
        else
          { SNOWFLAKE_BROKER_LISTENER__EXPECTED_SOCKETS = builtins.concatStringsSep "," passes; };
      serviceConfig = {
        Type = "notify-reload";
        ExecStart = command;
        WatchdogSec = 30;
        Restart = "on-failure";
        RestartSec = "500ms";
        # An invalid configuration stays invalid until somebody edits it.
        RestartPreventExitStatus = 2;
        # Waiting clients get their answers first: see matching.drain_grace.
        TimeoutStopSec = 30;
        Group = operators;
        StateDirectory = "snowflake-broker";
        StateDirectoryMode = "0700";
        WorkingDirectory = "%S/snowflake-broker";
        # Each parked poll holds an open file descriptor.
        LimitNOFILE = 524288;
        # Above the first limit, the kernel slows the broker down; above the second, it
        # kills the broker rather than some other program.
        MemoryHigh = memoryHigh;
        MemoryMax = memoryMax;
        # Addresses and session descriptions exist only in memory: no core dump and no
        # swap may write them to a disk.
        MemorySwapMax = 0;
        LimitCORE = 0;
        # If the kernel kills a helper that fetches credentials, the broker keeps running.
        OOMPolicy = "continue";
      }
      // (if isPassed "admin" then { } else runtimeDirectory)
      // (if writes == [ ] then { } else { ReadWritePaths = writes; })
      // import ./hardening.nix { inherit privilegedPort; };
    };

  # The directory of the administration socket if the broker creates it. systemd removes
  # it when the broker stops, so it cannot hold a socket that outlives the broker.
  runtimeDirectory = {
    RuntimeDirectory = "snowflake-broker";
    RuntimeDirectoryMode = "0750";
  };

  # The name of a socket's unit.
  socketUnit =
    purpose:
    if purpose == "http" then "snowflake-broker.socket" else "snowflake-broker-${purpose}.socket";

  # Sockets that stay open while the broker restarts. Each is a function of the ports,
  # addresses with ports, or paths to listen on.
  sockets = {
    http = socket {
      description = "Snowflake broker: clients and proxies";
      purpose = "http";
    };
    acme = socket {
      description = "Snowflake broker: ACME challenges";
      purpose = "acme";
    };
    federation = socket {
      description = "Snowflake broker: federation";
      purpose = "federation";
    };
    admin = socket {
      description = "Snowflake broker: administration";
      purpose = "admin";
      # The same access as a socket that the broker creates itself.
      more = {
        SocketMode = "0660";
        SocketGroup = operators;
        RemoveOnStop = true;
      };
    };
  };

  socket =
    {
      description,
      # The name of the socket, which tells the broker what to serve on it.
      purpose,
      more ? { },
    }:
    listenStreams: {
      inherit description listenStreams;
      documentation = [ "man:snowflake-broker(1)" ];
      wantedBy = [ "sockets.target" ];
      socketConfig = {
        FileDescriptorName = purpose;
        Service = "snowflake-broker.service";
        # The kernel caps it at net.core.somaxconn.
        Backlog = 65535;
        # A port alone covers IPv4 and IPv6, regardless of net.ipv6.bindv6only.
        BindIPv6Only = "both";
        # The socket may be created before its address is up.
        FreeBind = true;
      }
      // more;
    };
}
