# The broker's units for systemd, as plain data in the words of NixOS' options, for the
# module and for contrib/systemd alike.
rec {
  # Whoever is in this group may steer a running broker. It may not have the name of
  # the service's dynamic user: systemd refuses a user whose group is there already.
  operators = "snowflake-broker-operators";

  # Of the machine's memory. 50,000 parked polls take 0.4 GB, over TLS 0.9 GB.
  memory = {
    high = "70%";
    max = "80%";
  };

  service =
    {
      # The command that is the broker.
      command,
      # Whether the broker itself binds a port below 1024.
      privilegedPort,
      # What the sockets are for that systemd passes it: names in `sockets`.
      passes,
      # Paths outside its own directories that it writes to.
      writes ? [ ],
      # How much memory it should and may have.
      memoryHigh ? memory.high,
      memoryMax ? memory.max,
    }:
    let
      isPassed = purpose: builtins.elem purpose passes;
      # Without the main one it does not start; the others it may open itself.
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
      # A broker is never given up, however often it fails.
      startLimitIntervalSec = 0;
      # It says when it opens one of them itself all the same.
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
        RestartSec = 2;
        # A wrong configuration stays wrong until somebody changes it.
        RestartPreventExitStatus = 2;
        # Clients that wait get their answers first, see matching.drain_grace.
        TimeoutStopSec = 30;
        Group = operators;
        StateDirectory = "snowflake-broker";
        StateDirectoryMode = "0700";
        WorkingDirectory = "%S/snowflake-broker";
        # A parked poll is an open file.
        LimitNOFILE = 524288;
        # Over the first it is slowed down, over the second the kernel ends it, and not
        # some other program of the machine.
        MemoryHigh = memoryHigh;
        MemoryMax = memoryMax;
        # It is in memory that addresses and session descriptions are, and nowhere else:
        # neither what is dumped nor what is swapped out is to put them on a disk.
        MemorySwapMax = 0;
        LimitCORE = 0;
        # The kernel may end a program that fetches credentials for it; that alone is no
        # reason to stop.
        OOMPolicy = "continue";
      }
      // (if isPassed "admin" then { } else runtimeDirectory)
      // (if writes == [ ] then { } else { ReadWritePaths = writes; })
      // import ./hardening.nix { inherit privilegedPort; };
    };

  # Where the broker makes the socket of the administration. systemd removes it when the
  # broker ends, so it is not for a socket that outlives that.
  runtimeDirectory = {
    RuntimeDirectory = "snowflake-broker";
    RuntimeDirectoryMode = "0750";
  };

  # The name of the unit of a socket.
  socketUnit =
    purpose:
    if purpose == "http" then "snowflake-broker.socket" else "snowflake-broker-${purpose}.socket";

  # Sockets that stay open while the broker restarts, each made from what it listens on:
  # ports, addresses with one, or paths.
  sockets = {
    http = socket {
      description = "Snowflake broker: clients and proxies";
      purpose = "http";
    };
    acme = socket {
      description = "Snowflake broker: challenges of certificate authorities";
      purpose = "acme";
    };
    federation = socket {
      description = "Snowflake broker: other brokers";
      purpose = "federation";
    };
    admin = socket {
      description = "Snowflake broker: administration";
      purpose = "admin";
      # As a socket that the broker makes itself.
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
      # What the broker serves there.
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
        # The kernel bounds it by net.core.somaxconn.
        Backlog = 65535;
        # A port alone is that of IPv4 and IPv6, whatever net.ipv6.bindv6only says.
        BindIPv6Only = "both";
        # An address may come up later than the socket.
        FreeBind = true;
      }
      // more;
    };
}
