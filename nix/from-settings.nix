# What follows from the settings of a broker: what it listens on and who opens that,
# what the firewall lets in, what only a restart takes over, and what cannot work or is
# unsafe. Plain functions without nixpkgs; module.nix makes options of them.
{
  # As in the configuration file; a key that is not set may be null or left out.
  settings,
  # Whether a file of secret variables may set what the settings do not.
  hasEnvironmentFile ? false,
  # Whether systemd opens the public sockets.
  socketActivation ? true,
  openFirewall ? false,
  # The names of the credentials that the service is given.
  credentials ? [ ],
  # Further files of the configuration, variables and flags.
  extraConfigFiles ? [ ],
  environment ? { },
  extraArgs ? [ ],
  # The bridges that the module writes a file of.
  bridges ? [ ],
}:

let
  # Whether something else may set what the settings do not.
  hasMoreLayers =
    hasEnvironmentFile || extraConfigFiles != [ ] || environment != { } || extraArgs != [ ];

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
  hasPrefix = prefix: text: builtins.substring 0 (builtins.stringLength prefix) text == prefix;
  hasSuffix =
    suffix: text:
    let
      start = builtins.stringLength text - builtins.stringLength suffix;
    in
    start >= 0 && builtins.substring start (-1) text == suffix;

  # The places of a setting that may be one, several with commas, or a list.
  places =
    path:
    let
      value = get path;
      words = builtins.filter (word: builtins.isString word && word != "") (builtins.split ", *" value);
    in
    if builtins.isString value then
      words
    else if builtins.isList value then
      value
    else
      [ ];

  http = parse (get "listener.addr");
  hasAcme = isSet "acme.hostnames";
  acme = if hasAcme && get "acme.http_addr" != "" then parse (get "acme.http_addr") else null;
  federation = parse (get "federation.listen");
  operators = compact (map parse (places "operator.listen"));

  isAdminOff = places "admin.listen" == [ "off" ];
  # The path of a Unix socket, or null.
  unixPath =
    place:
    let
      path = builtins.match "(unix:)?(/.*)" place;
    in
    if path == null then null else builtins.elemAt path 1;
  adminPaths =
    let
      paths = compact (map unixPath (places "admin.listen"));
    in
    if isAdminOff then
      [ ]
    else if paths == [ ] then
      [ "${runtime}/admin.sock" ]
    else
      paths;
  adminAddresses = compact (
    map parse (builtins.filter (it: unixPath it == null) (places "admin.listen"))
  );

  runtime = "/run/snowflake-broker";
  state = "/var/lib/snowflake-broker";

  # Whether systemd can open all of these.
  canPass = addresses: socketActivation && builtins.all isNumeric addresses;
  # What systemd is to listen on, by what it is for; the broker opens the others.
  sockets =
    let
      passed = addresses: if canPass addresses then map listenStream addresses else [ ];
      one = address: passed (compact [ address ]);
      all = {
        http = one http;
        acme = one acme;
        federation = one federation;
        admin = (if socketActivation then adminPaths else [ ]) ++ passed adminAddresses;
      };
    in
    removeAttrs all (builtins.filter (name: all.${name} == [ ]) (builtins.attrNames all));
  # Addresses whose sockets the broker opens.
  ownAddresses =
    let
      own = addresses: if canPass addresses then [ ] else addresses;
    in
    operators
    ++ own adminAddresses
    ++ builtins.concatMap (address: own (compact [ address ])) [
      http
      acme
      federation
    ];

  # Every address with the key that says so.
  listeners =
    let
      named = key: map (address: address // { inherit key; });
    in
    named "listener.addr" (compact [ http ])
    ++ named "acme.http_addr" (compact [ acme ])
    ++ named "federation.listen" (compact [ federation ])
    ++ named "admin.listen" adminAddresses
    ++ named "operator.listen" operators;
  # Two of them that one machine cannot both open.
  clashes =
    let
      isEverywhere =
        { host, ... }:
        builtins.elem host [
          ""
          "0.0.0.0"
          "[::]"
        ];
      clash =
        one: other:
        one.port == other.port
        && one.port != 0
        && (one.host == other.host || isEverywhere one || isEverywhere other);
      count = builtins.length listeners;
      pairs = builtins.concatMap (
        index:
        let
          one = builtins.elemAt listeners index;
          later = builtins.genList (it: builtins.elemAt listeners (index + 1 + it)) (count - index - 1);
        in
        map (other: { inherit one other; }) (builtins.filter (clash one) later)
      ) (builtins.genList (index: index) count);
    in
    map ({ one, other }: "${one.key} and ${other.key}: ${toString one.port}") pairs;

  # The bridges that no proxy would serve: their host names are not in the pattern that
  # every proxy accepts.
  uncovered =
    let
      pattern = get "broker.allowed_relay_pattern";
      rule = if hasSuffix "$" pattern then dropLast pattern else pattern;
      dropLast = text: builtins.substring 0 (builtins.stringLength text - 1) text;
      isCovered =
        host: if hasPrefix "^" rule then host == builtins.substring 1 (-1) rule else hasSuffix rule host;
      host =
        bridge:
        let
          parts = builtins.match "wss?://([^/?#]*@)?(\\[[^]]*]|[^:/?#]*).*" bridge.webSocketAddress;
        in
        if parts == null then "" else builtins.elemAt parts 1;
    in
    if builtins.isString pattern then
      builtins.filter (name: !isCovered name) (map host bridges)
    else
      [ ];
  fingerprints = map (bridge: bridge.fingerprint) bridges;
  repeated = builtins.filter (
    it: builtins.length (builtins.filter (other: other == it) fingerprints) > 1
  ) fingerprints;

  # Directories that the broker writes to, outside of its own.
  writes =
    let
      directories = compact [
        (get "metrics.state_directory")
        (if hasAcme then get "acme.cert_cache" else null)
      ];
      files = compact [
        (get "metrics.metrics_log")
        (get "metrics.ip_count_prefix")
        # `admin bridges set --write-back`
        (get "broker.bridge_list_path")
      ];
      isOwn = path: path == state || hasPrefix "${state}/" path;
      # Nobody writes to these, or to what is no path of this machine.
      isFixed =
        path: !hasPrefix "/" path || hasPrefix "/etc/" "${path}/" || hasPrefix builtins.storeDir path;
      isWritten = path: !isOwn path && !isFixed path;
      unique = builtins.foldl' (all: it: if builtins.elem it all then all else all ++ [ it ]) [ ];
    in
    unique (builtins.filter isWritten (directories ++ map builtins.dirOf files));

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
  # What a text such as "%d/name" or "--flag=%d/name" is made of: what comes before, and
  # the name of the credential; null if it names none.
  reference = text: builtins.match "(--?[a-z0-9-]+=)?%d/(.*)" text;
  credential =
    text:
    let
      parts = reference text;
    in
    if parts == null then null else builtins.elemAt parts 1;
  unknownCredentials = builtins.filter (name: !builtins.elem name credentials) (
    compact (
      map credential (texts [
        settings
        extraConfigFiles
        environment
        extraArgs
      ])
    )
  );
  # systemd takes no others as names of files.
  wrongNames = builtins.filter (
    name: builtins.match "[A-Za-z0-9_.-]+" name == null || builtins.match "\\.\\.?" name != null
  ) credentials;

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
    else if builtins.isString value && reference value != null then
      let
        before = builtins.head (reference value);
      in
      "${
        if before == null then "" else before
      }/run/credentials/snowflake-broker.service/${credential value}"
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

  list = builtins.concatStringsSep ", ";

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
        || builtins.all isLoopback adminAddresses
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
      assertion = socketActivation || builtins.all (hasPrefix "${runtime}/") adminPaths;
      message = "settings.admin.listen: the service may make a socket below ${runtime} only, not ${list adminPaths}; systemd makes it anywhere (socketActivation)";
    }
    {
      assertion = clashes == [ ];
      message = "settings: one port for two sockets: ${list clashes}";
    }
    {
      assertion = unknownCredentials == [ ];
      message = "credentials: there is none of the name ${list unknownCredentials}";
    }
    {
      assertion = wrongNames == [ ];
      message = "credentials: letters, digits and _.- make a name, not ${list wrongNames}";
    }
    {
      assertion = hasMoreLayers || uncovered == [ ];
      message = "settings.broker.allowed_relay_pattern: no proxy would serve these of `bridges`, which it does not cover: ${list uncovered}";
    }
    {
      assertion = repeated == [ ];
      message = "bridges: several have the fingerprint ${list repeated}";
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
      doubtful = !builtins.all isLoopback adminAddresses && !isSet "admin.tls.cert";
      message = "settings.admin.listen: others reach it in the clear, and may read tokens: set admin.tls.cert and key";
    }
  ];
in
{
  inherit assertions;

  warnings = map (doubt: doubt.message) (builtins.filter (doubt: doubt.doubtful) doubts);

  inherit sockets writes;

  # Whether the broker binds a port below 1024 itself.
  privilegedPort = builtins.any isPrivileged ownAddresses;

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
  extraConfigFiles = render extraConfigFiles;
  extraArgs = render extraArgs;
}
