# What follows from the settings of a broker: what it listens on and who opens that,
# what the firewall lets in, what only a restart takes over, and what cannot work or is
# unsafe. Plain functions without nixpkgs; module.nix makes options of them.
{
  # As in the configuration file; a key that is not set may be null or left out.
  settings,
  # Whether other files, variables or flags may set what the settings do not.
  hasMoreLayers ? false,
  # Whether systemd opens the public sockets.
  socketActivation ? true,
  openFirewall ? false,
  # The names of the credentials that the service is given.
  credentials ? [ ],
}:

let
  # The value of a key, or null.
  get =
    path:
    builtins.foldl' (
      value: name: if builtins.isAttrs value then value.${name} or null else null
    ) settings (builtins.filter builtins.isString (builtins.split "\\." path));
  isSet =
    path:
    !builtins.elem (get path) [
      null
      ""
      [ ]
    ];
  isTrue = path: get path == true;

  # Host and port of an address such as ":443", "127.0.0.1:80" or "[::1]:80"; null if
  # it is none.
  parse =
    address:
    let
      parts = if builtins.isString address then builtins.match "(.*):0*([0-9]+)" address else null;
    in
    if parts == null then
      null
    else
      {
        host = builtins.elemAt parts 0;
        port = builtins.fromJSON (builtins.elemAt parts 1);
      };
  isLoopback = { host, ... }: host == "localhost" || builtins.match "127\\..*|\\[::1]" host != null;
  # Whether systemd can listen there: it looks no name up.
  isNumeric = { host, ... }: host == "" || builtins.match "[0-9.]+|\\[[0-9a-fA-F:.]+]" host != null;
  isPrivileged = { port, ... }: port > 0 && port < 1024;
  # In the words of ListenStream=.
  listenStream = { host, port }: (if host == "" then "" else "${host}:") + toString port;

  compact = builtins.filter (value: value != null);

  http = parse (get "listener.addr");
  hasAcme = isSet "acme.hostnames";
  acme = if hasAcme && get "acme.http_addr" != "" then parse (get "acme.http_addr") else null;
  federation = parse (get "federation.listen");
  admin = parse (get "admin.listen");
  operators =
    let
      listen = get "operator.listen";
      addresses = text: builtins.filter builtins.isString (builtins.split ", *" text);
    in
    compact (
      map parse (
        if builtins.isString listen then
          addresses listen
        else if builtins.isList listen then
          listen
        else
          [ ]
      )
    );

  hasFile = isSet "tls.cert" || isSet "tls.key";
  isInTheClear = isTrue "tls.disable" && !hasFile && !hasAcme;

  # All texts in a value, however deep.
  texts =
    value:
    if builtins.isString value then
      [ value ]
    else if builtins.isList value then
      builtins.concatMap texts value
    else if builtins.isAttrs value then
      builtins.concatMap texts (builtins.attrValues value)
    else
      [ ];
  # The name of the credential that a path such as "%d/name" is, or null.
  credential =
    text:
    let
      name = builtins.match "%d/(.*)" text;
    in
    if name == null then null else builtins.head name;
  unknownCredentials = builtins.filter (name: !builtins.elem name credentials) (
    compact (map credential (texts settings))
  );

  removeEmpty =
    set: removeAttrs set (builtins.filter (name: set.${name} == { }) (builtins.attrNames set));

  render =
    value:
    if builtins.isAttrs value then
      let
        isSet = name: value.${name} != null;
        names = builtins.filter isSet (builtins.attrNames value);
      in
      removeEmpty (
        builtins.listToAttrs (
          map (name: {
            inherit name;
            value = render value.${name};
          }) names
        )
      )
    else if builtins.isList value then
      map render value
    else if builtins.isString value && credential value != null then
      "/run/credentials/snowflake-broker.service/${credential value}"
    else
      value;

  isInForceAfterReload =
    key:
    let
      lists = builtins.fromJSON (builtins.readFile ./reloaded.json);
      section = builtins.head (builtins.split "\\." key);
      isIn = keys: builtins.elem section keys || builtins.elem key keys;
    in
    isIn lists.reloaded && !isIn lists.not_reloaded;

  # What cannot be, unless another layer says more.
  assertions = [
    {
      assertion = http != null;
      message = "settings.listener.addr: no listener: expected :PORT, ADDRESS:PORT or [IPV6]:PORT, not ${builtins.toJSON (get "listener.addr")}";
    }
    {
      assertion = socketActivation && http != null -> isNumeric http;
      message = "settings.listener.addr: systemd opens the socket and looks no name up: set an address, or socketActivation = false";
    }
    {
      assertion = socketActivation && acme != null -> isNumeric acme;
      message = "settings.acme.http_addr: systemd opens the socket and looks no name up: set an address, or socketActivation = false";
    }
    {
      assertion = hasMoreLayers || hasAcme || hasFile || isTrue "tls.disable";
      message = "settings: no certificate: set one of acme.hostnames, tls.cert with tls.key, useACMEHost, or tls.disable";
    }
    {
      assertion = hasMoreLayers || isSet "tls.cert" == isSet "tls.key";
      message = "settings.tls: cert and key need each other";
    }
    {
      assertion = !(hasAcme && hasFile);
      message = "settings.acme.hostnames excludes tls.cert and useACMEHost: set only one of them";
    }
    {
      assertion = hasMoreLayers || hasAcme || !isSet "acme.email";
      message = "settings.acme.email: no certificate would be ordered without names in acme.hostnames";
    }
    {
      assertion =
        hasMoreLayers
        || admin == null
        || isLoopback admin
        || isSet "admin.tokens"
        || isSet "admin.tls.client_ca";
      message = "settings.admin.listen: others reach it: set admin.tls.client_ca or admin.tokens";
    }
    {
      assertion =
        hasMoreLayers
        || federation == null
        || isLoopback federation
        || (isSet "federation.tls.cert" && isSet "federation.tls.key" && isSet "federation.tls.ca");
      message = "settings.federation.listen: others reach it: set federation.tls.cert, key and ca";
    }
    {
      assertion = unknownCredentials == [ ];
      message = "settings: no such credential: ${builtins.concatStringsSep ", " unknownCredentials}";
    }
  ];

  doubts = [
    {
      doubtful = openFirewall && isInTheClear && http != null && !isLoopback http;
      message = "openFirewall: the broker is reached in the clear, so everybody on the way reads offers and answers; have something before it end TLS, and let nobody else reach it";
    }
    {
      doubtful = isSet "tls.key" && credential (get "tls.key") != null;
      message = "settings.tls.key: systemd reads a credential at the start only, so a renewed certificate waits for a restart; useACMEHost, or a file that the service may read, does not";
    }
    {
      doubtful = admin != null && !isLoopback admin && !isSet "admin.tls.cert";
      message = "settings.admin.listen: others reach it in the clear, and may read tokens: set admin.tls.cert and key";
    }
  ];
in
{
  inherit assertions;

  warnings = map (doubt: doubt.message) (builtins.filter (doubt: doubt.doubtful) doubts);

  # What the sockets of systemd listen on; null where there is none.
  httpStream = if http == null then null else listenStream http;
  acmeStream = if acme == null then null else listenStream acme;

  # Whether the broker binds a port below 1024 itself.
  privilegedPort = builtins.any isPrivileged (
    compact (
      [
        admin
        federation
      ]
      ++ operators
      ++ (
        if socketActivation then
          [ ]
        else
          [
            http
            acme
          ]
      )
    )
  );

  # What others have to reach. Neither the administration nor what is for operators ever
  # is among it.
  publicPorts = map (address: address.port) (
    builtins.filter (address: !isLoopback address) (compact [
      http
      acme
      federation
    ])
  );

  # The settings that a reload does not put in force. Where the certificate comes from
  # is one, whatever key says so.
  needsRestart = {
    certificateFromFile = hasFile;
    settings = removeEmpty (
      builtins.mapAttrs (
        section: keys:
        if builtins.isAttrs keys then
          removeAttrs keys (
            builtins.filter (key: isInForceAfterReload "${section}.${key}") (builtins.attrNames keys)
          )
        else
          keys
      ) settings
    );
  };

  # The settings as the broker is to read them: without what is not set, for which TOML
  # has no word, and with credentials where systemd puts them.
  rendered = render settings;
}
