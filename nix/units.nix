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
      # The socket units that the broker does not start without.
      sockets,
      # Those that it can do without.
      optionalSockets ? [ ],
      # How much memory it should and may have.
      memoryHigh ? memory.high,
      memoryMax ? memory.max,
    }:
    {
      description = "Snowflake broker";
      documentation = [ "man:snowflake-broker(1)" ];
      wants = [ "network-online.target" ] ++ optionalSockets;
      after = [ "network-online.target" ] ++ sockets ++ optionalSockets;
      requires = sockets;
      # A broker is never given up, however often it fails.
      startLimitIntervalSec = 0;
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
        RuntimeDirectory = "snowflake-broker";
        RuntimeDirectoryMode = "0750";
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
      // import ./hardening.nix { inherit privilegedPort; };
    };

  # A socket that stays open while the broker restarts.
  socket =
    {
      description,
      # What the broker serves there: http or acme.
      purpose,
      # A port, or an address with one.
      listenStream,
    }:
    {
      inherit description;
      listenStreams = [ listenStream ];
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
      };
    };

  httpSocket =
    listenStream:
    socket {
      description = "Snowflake broker: clients and proxies";
      purpose = "http";
      inherit listenStream;
    };

  acmeSocket =
    listenStream:
    socket {
      description = "Snowflake broker: challenges of certificate authorities";
      purpose = "acme";
      inherit listenStream;
    };
}
