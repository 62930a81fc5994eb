# A VM test of two brokers that lend each other proxies: one with a certificate from files,
# and one that orders its own from a test authority; of a cluster of three brokers, each with
# a NATS server; with a client machine.
{ hostPkgs, ... }:

let
  pkgs = hostPkgs;

  # An authority, and a certificate from it for each broker.
  certificates = pkgs.runCommand "certificates" { nativeBuildInputs = [ pkgs.openssl ]; } ''
    mkdir $out
    cd $out
    new="openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 3650"
    $new -subj /CN=authority -keyout authority.key -out authority.pem
    for name in one two; do
      $new -CA authority.pem -CAkey authority.key -subj /CN=$name \
        -extensions usr_cert -addext subjectAltName=DNS:$name.test -keyout $name.key -out $name.pem
    done
  '';

  pebble = pkgs.path + "/nixos/tests/common/acme/server";
  inherit (import (pebble + "/snakeoil-certs.nix")) ca;

  # Secrets that another service provides before the broker starts, such as a vault.
  secretsBy = script: {
    systemd.services.secrets = {
      before = [ "snowflake-broker.service" ];
      requiredBy = [ "snowflake-broker.service" ];
      serviceConfig.Type = "oneshot";
      serviceConfig.RemainAfterExit = true;
      script = ''
        umask 077
        mkdir -p /run/secrets
        ${script}
      '';
    };
  };

  secrets =
    { config, ... }:
    secretsBy ''
      cp ${certificates}/${config.networking.hostName}.key /run/secrets/key
      od -An -N16 -tx1 /dev/urandom | tr -d ' \n' > /run/secrets/token
    '';

  broker =
    peer:
    { config, ... }:
    {
      imports = [ secrets ];
      networking.domain = "test";
      services.snowflake-broker = {
        enable = true;
        openFirewall = true;
        settings.http.trusted_hops = 0;
        settings.federation = {
          listen = ":7443";
          reserve = 0;
          tls.cert = "${certificates}/${config.networking.hostName}.pem";
          tls.key = "%d/key";
          tls.ca = "${certificates}/authority.pem";
          peers = [
            {
              name = "${peer}.test";
              url = "https://${peer}.test:7443";
            }
          ];
        };
        credentials.key = "/run/secrets/key";
      };
    };

  # A broker of the cluster, in the clear, with the NATS server beside it.
  node = {
    # All have the same.
    imports = [
      (secretsBy "head -c 32 ${certificates}/one.key | base64 > /run/secrets/cluster-key")
    ];
    networking.firewall.allowedTCPPorts = [ 6222 ];
    services.nats = {
      enable = true;
      port = 4222;
      jetstream = true;
      settings = {
        host = "127.0.0.1";
        ping_interval = "5s";
        ping_max = 2;
        cluster = {
          name = "snowflake";
          port = 6222;
          routes = map (name: "nats://${name}:6222") [
            "east"
            "north"
            "west"
          ];
        };
      };
    };
    services.snowflake-broker = {
      enable = true;
      openFirewall = true;
      settings = {
        listener.addr = ":80";
        tls.disable = true;
        http.trusted_hops = 0;
        cluster = {
          servers = [ "nats://127.0.0.1:4222" ];
          key_file = "%d/cluster-key";
          reserve = 0;
        };
      };
      credentials.cluster-key = "/run/secrets/cluster-key";
    };
  };

  people = {
    users.users.alice = {
      isNormalUser = true;
      extraGroups = [ "snowflake-broker-operators" ];
    };
    users.users.mallory.isNormalUser = true;
  };
in
{
  name = "snowflake-broker";

  nodes = {
    one = {
      imports = [
        (broker "two")
        people
      ];
      services.snowflake-broker = {
        settings = {
          tls.cert = "${certificates}/one.pem";
          tls.key = "%d/key";
          metrics.save_interval = "1s";
          admin.listen = "127.0.0.1:9443";
          admin.tokens = [
            {
              name = "watcher";
              role = "viewer";
              file = "%d/token";
            }
          ];
        };
        credentials.token = "/run/secrets/token";
      };
      specialisation.reloaded.configuration = {
        services.snowflake-broker.settings.matching.client_timeout = "4s";
      };
      specialisation.restarted.configuration = {
        services.snowflake-broker.settings.http.body_read_timeout = "9s";
      };
      specialisation.moved.configuration = {
        services.snowflake-broker.settings.listener.addr = ":442";
      };
    };

    two = {
      imports = [ (broker "one") ];
      services.snowflake-broker.settings.acme = {
        hostnames = [ "two.test" ];
        directory = "https://acme.test/dir";
        ca_file = ca.cert;
      };
    };

    east = node;
    north = node;
    west = node;

    acme.imports = [ pebble ];

    client = { };
  };

  testScript = ''
    start_all()
    curl = "curl --silent --show-error --fail --max-time 15"
    one_url = "--cacert ${certificates}/authority.pem https://one.test"
    two_url = "--cacert pebble.pem https://two.test"

    def main_pid(machine):
        return machine.succeed("systemctl show --value --property MainPID snowflake-broker").strip()

    def switch(specialisation):
        one.succeed(f"/run/booted-system/specialisation/{specialisation}/bin/switch-to-configuration test >&2")

    # A client of one broker gets a proxy from the same or another broker; in a cluster, the
    # answer may come to any node.
    def match(client_url, proxy_url, answer_url=None):
        client.succeed("rm -f poll answer")
        client.execute(
            f"{curl} {proxy_url}/proxy -d "
            """'{"Sid":"poll","Version":"1.3","Type":"standalone","NAT":"unrestricted","Clients":0}' """
            "> poll 2>&1 &"
        )
        client.wait_until_succeeds(f"{curl} {proxy_url}/debug | grep 'available: 1$'")
        # The brokers report their supply to each other.
        client.succeed("sleep 2")
        client.succeed(
            r"""printf '1.0\n{"offer":"{\\"type\\":\\"offer\\",\\"sdp\\":\\"v=0\\"}","nat":"restricted"}' > offer"""
        )
        client.execute(f"{curl} {client_url}/client --data-binary @offer > answer 2>&1 &")
        client.wait_until_succeeds("grep 'client match' poll")
        client.succeed(
            f"{curl} {answer_url or proxy_url}/answer -d "
            r"""'{"Version":"1.3","Sid":"poll","Answer":"{\"type\":\"answer\",\"sdp\":\"a=candidate\"}"}' """
            "| grep success"
        )
        client.wait_until_succeeds("grep a=candidate answer")

    one.wait_for_unit("snowflake-broker.service")
    two.wait_for_unit("snowflake-broker.service")
    client.wait_for_unit("multi-user.target")

    with subtest("HTTPS from outside"):
        client.wait_until_succeeds(f"{curl} {one_url}/debug")
        client.fail(f"{curl} https://one.test/debug")

    with subtest("a match"):
        match(one_url, one_url)

    with subtest("exact counts are available only on this machine"):
        exact = "grep snowflake_broker_proxy_polls_total"
        one.succeed("curl --fail http://127.0.0.1:9580/readyz")
        one.succeed(f"curl --fail http://127.0.0.1:9580/prometheus | {exact}")
        client.fail(f"{curl} http://one.test:9580/prometheus")
        client.fail(f"{curl} {one_url}/prometheus | {exact}")
        client.succeed(f"{curl} {one_url}/prometheus | grep snowflake_rounded_proxy_poll_total")

    with subtest("only the machine's operators may use the administration"):
        one.succeed("runuser -u alice -- snowflake-broker admin status")
        one.fail("runuser -u mallory -- snowflake-broker admin status")
        one.succeed("snowflake-broker admin status --token-file /run/secrets/token")
        one.fail("snowflake-broker admin drain --token-file /run/secrets/token")
        client.fail("curl --max-time 3 http://one.test:9443")
        client.fail("curl --max-time 3 http://one.test:80")

    with subtest("secrets are not in the store"):
        one.succeed("test -s /run/secrets/token")
        one.fail("grep --dereference-recursive --quiet --fixed-strings --file /run/secrets/token /etc/snowflake-broker/ /etc/systemd/system/snowflake-broker.service")
        one.succeed("grep --quiet /run/credentials/snowflake-broker.service/token /etc/snowflake-broker/config.toml")

    with subtest("reloadable settings need no restart"):
        before = main_pid(one)
        switch("reloaded")
        one.wait_until_succeeds("journalctl --unit snowflake-broker | grep 'configuration reloaded'")
        one.succeed("snowflake-broker admin config matching | grep 4s")
        assert main_pid(one) == before

    with subtest("other settings restart the broker, and the socket stays open"):
        client.execute(
            f"(while {curl} {one_url}/robots.txt; do sleep 0.1; done; touch refused) > visits 2>&1 &"
        )
        switch("restarted")
        assert main_pid(one) != before
        client.succeed(f"{curl} {one_url}/debug")
        client.fail("test -e refused")

    with subtest("a socket with a new address is still opened by systemd"):
        moved_url = one_url + ":442"
        switch("moved")
        client.wait_until_succeeds(f"{curl} {moved_url}/debug")
        client.fail(f"{curl} {one_url}/debug")
        before = main_pid(one)
        client.execute(
            f"(while {curl} {moved_url}/robots.txt; do sleep 0.1; done; touch lost) > visits 2>&1 &"
        )
        one.succeed("systemctl restart snowflake-broker")
        assert main_pid(one) != before
        client.succeed(f"{curl} {moved_url}/debug")
        client.fail("test -e lost")
        one.succeed("runuser -u alice -- snowflake-broker admin status")
        one.succeed("/run/booted-system/bin/switch-to-configuration test >&2")
        client.wait_until_succeeds(f"{curl} {one_url}/debug")
        one.fail("journalctl --unit snowflake-broker | grep 'opens it itself'")

    with subtest("the counts survive SIGKILL"):
        matches = "snowflake-broker admin stats --text | grep 'client-snowflake-match-count 8'"
        one.succeed(matches)
        one.succeed("sleep 2")
        before = main_pid(one)
        one.succeed("systemctl kill --signal=KILL snowflake-broker")
        client.wait_until_succeeds(f"{curl} {one_url}/debug")
        assert main_pid(one) != before
        one.succeed(matches)

    with subtest("a certificate by ACME survives a restart"):
        client.wait_until_succeeds(f"{curl} --cacert ${ca.cert} https://acme.test:15000/roots/0 > pebble.pem")
        client.wait_until_succeeds(f"{curl} {two_url}/debug")
        ordered = two.succeed("sha256sum /var/lib/snowflake-broker/acme/certificate.json")
        two.succeed("systemctl restart snowflake-broker")
        client.succeed(f"{curl} {two_url}/debug")
        assert two.succeed("sha256sum /var/lib/snowflake-broker/acme/certificate.json") == ordered

    with subtest("the brokers lend each other proxies"):
        match(one_url, two_url)
        match(two_url, one_url)

    with subtest("three nodes are one broker"):
        others = {east: "north west", north: "east west", west: "east north"}
        for machine, names in others.items():
            for name in names.split():
                machine.wait_until_succeeds(f"snowflake-broker admin nodes | grep '^{name} '")
        match("http://east", "http://north", "http://west")
        east.wait_until_succeeds("snowflake-broker admin nodes | grep 'is written by'")

    with subtest("a node without NATS serves on its own, and comes back"):
        east.succeed("systemctl stop nats")
        east.wait_until_succeeds("snowflake-broker admin nodes | grep 'serves on its own'")
        match("http://east", "http://east")
        match("http://north", "http://west", "http://north")
        east.succeed("systemctl start nats")
        east.wait_until_succeeds("snowflake-broker admin nodes | grep '^west '")

    with subtest("a node that stops is left out at once"):
        west.succeed("systemctl stop snowflake-broker")
        east.fail("snowflake-broker admin nodes | grep '^west '")
        match("http://east", "http://north", "http://east")

    with subtest("the service is sandboxed"):
        one.log(one.succeed("systemd-analyze security --threshold=15 snowflake-broker"))
  '';
}
