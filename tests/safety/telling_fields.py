"""Names of request fields that applications and the boxes in front of them have been known to believe."""

from __future__ import annotations

__all__ = ["TELLING_FIELDS"]

_NAMES = """
    Accept-Forwarded Akamai-Origin-Hop Ali-CDN-Real-IP Api-Key Apikey Auth-Key Auth-User Base-Url CF-Connecting-IP
    CF-Connecting-IPv6 CF-Ipcountry CF-Pseudo-IPv4 CF-Ray CF-Visitor CF-Worker Cdn-Loop-Client Cdn-Src-IP
    Client-Address Client-Cert Client-Id Client-IP Cloudfront-Forwarded-Proto Cloudfront-Is-Mobile-Viewer-Device
    Cloudfront-Viewer-Address Cloudfront-Viewer-Country Cluster-Client-IP Contact-Proxy-Auth Csrf-Token
    Destination-Host Fastly-Client-IP Fastly-Debug Fastly-FF-Client Fastly-Orig-Host Fastly-SSL
    Fastly-Temp-XFF-Client Forwarded Forwarded-For Forwarded-For-IP Forwarded-Host Forwarded-Proto Forwarded-Server
    From Front-End-Https Geoip-Country Get-Original-Url Host-Name Http-Client-IP Http-Forwarded Http-Host
    Http-Method-Override Http-Path Http-Url Https Incap-Client-IP Internal-User Jwt-Token Method-Override
    Oauth-Token Orig-Path Original-Host Original-Uri Original-Url Override-Url Path-Info Path-Translated
    Proxy-Client-IP Proxy-Host Proxy-Remote-User Proxy-Url Query-String Real-IP Redirect-Url Referer-Url Remote-Addr
    Remote-Host Remote-User Request-Uri Request-Url Requested-Url Rewrite-Url Script-Name Script-Url Server-Name
    Server-Port Session-Id Soap-Server Source-IP Ssl-Client-Cert Ssl-Client-Dn Ssl-Https Tenant-Id True-Client-IP
    True-Client-Port Unencoded-Url Uri Url User User-Id User-Name Username Via-Proxy Viewer-Country Wap-Client-IP
    X-Access-Token X-Account-Id X-Akamai-Edgescape-Geo X-Amz-Date-Key X-Amz-Security-Token X-Amz-Server-Side
    X-Amz-Website-Redirect X-Amzn-Trace-Client X-Api-Key X-Api-Token X-Api-Version X-Appengine-City-Geo
    X-Appengine-User-IP X-Arr-Log-Id X-Arr-Ssl X-Auth X-Auth-Key X-Auth-Token X-Auth-User X-Authenticated-User
    X-Authorization X-Aws-Region X-Azure-Clientip X-Azure-Fdid-Host X-Azure-Ref-Client X-Azure-Socketip X-Backend
    X-Backend-Host X-Backend-Server X-Base-Path X-Base-Url X-Bypass-Cache X-CDN-Client X-Callback-Url X-Cert
    X-Cf-Url X-Client-Cert X-Client-Dn X-Client-Id X-Client-IP X-Client-Port X-Cluster-Client-IP X-Coming-From-Host
    X-Consumer-Username X-Country X-Country-Code X-Csrf-Token X-Csrftoken X-Custom-IP-Authorization X-Customer-Id
    X-Debug X-Debug-Token X-Destination-Host X-Device X-Device-Id X-Dn X-Domain X-Edge-Client X-Email X-Env
    X-Environment X-Envoy-Original-Path X-Envoy-External-Address X-Envoy-Peer X-Error-Page X-Fastly-Client
    X-File-Path X-Flag-Name X-Forward X-Forward-For X-Forward-Host X-Forward-Proto X-Forwarded X-Forwarded-By
    X-Forwarded-Client-Cert X-Forwarded-For X-Forwarded-For-Original X-Forwarded-Host X-Forwarded-Host-Original
    X-Forwarded-Path X-Forwarded-Port X-Forwarded-Prefix X-Forwarded-Proto X-Forwarded-Protocol X-Forwarded-Scheme
    X-Forwarded-Server X-Forwarded-Ssl X-Forwarded-Uri X-Forwarded-Url X-Forwarded-User X-Forwarder-For X-From-IP
    X-Gateway-Host X-Geo-Country X-Geoip-Country X-Goog-Authenticated-User-Email X-Google-Real-IP X-Group
    X-Hidden-Url X-Host X-Host-Name X-Host-Override X-Hostname X-Http-Client-IP X-Http-Destinationurl
    X-Http-Forwarded-For X-Http-Host-Override X-Http-Method X-Http-Method-Override X-Http-Path-Override X-Https
    X-Identity X-Internal X-Internal-User X-IP X-IP-Address X-IP-Trail X-Jwt X-Jwt-Assertion X-Key X-Latitude
    X-Locale X-Location X-Login X-Longitude X-Mail X-Method X-Method-Override X-Middleware-Prefetch
    X-Middleware-Rewrite X-Middleware-Subrequest X-Mobile X-Mode X-Name X-Nextjs-Data X-Operation X-Org-Id
    X-Organization X-Orig-Host X-Orig-Path X-Original-Forwarded-For X-Original-Forwarded-Host X-Original-Host
    X-Original-Method X-Original-Path X-Original-Remote-Addr X-Original-Uri X-Original-Url
    X-Originally-Forwarded-For X-Originating-IP X-Override-Url X-Owner X-Page X-Path X-Path-Info X-Peer-Address
    X-Permissions X-Policy X-Port X-Prefix X-Preview-Token X-Principal X-Profile-Id X-Proto X-Protocol X-Proxy
    X-Proxy-Host X-Proxy-Url X-Proxy-User X-ProxyUser-IP X-Query X-Real-Host X-Real-IP X-Real-Port X-Redirect
    X-Redirect-To-Url X-Region X-Remote-Addr X-Remote-Host X-Remote-IP X-Remote-User X-Request-Path X-Request-Uri
    X-Request-Url X-Requested-Host X-Rewrite-Path X-Rewrite-Uri X-Rewrite-Url X-Role X-Roles X-Root X-Route
    X-Saml-User X-Scheme X-Scope X-Script-Name X-Secret X-Server X-Server-Name X-Server-Port X-Service X-Session
    X-Session-Id X-Session-Token X-Shard X-Site X-Source X-Source-Url X-Ssl X-Ssl-Client-Cert X-Sso-User X-Staging
    X-Store X-Subdomain X-Tenant X-Tenant-Id X-Test X-Theme X-Timezone X-Token X-Tracking-Id X-True-Client-IP
    X-True-IP X-Trusted X-Uid X-Upstream X-Uri X-Url X-Url-Scheme X-User X-User-Email X-User-Id X-User-Name
    X-User-Roles X-Username X-Varnish-Client X-Vcap-Request-Id X-Version X-Vhost X-Virtual-Host X-Wap-Profile
    X-Website X-Wp-Nonce X-Xsrf-Token X-Zone X_Forwarded_For X_Forwarded_Host X_Forwarded_Proto X_Original_Url
    X_Rewrite_Url X_Http_Method_Override X-Forwarded_Host X.Forwarded.Host Host_Name Remote_User
"""

TELLING_FIELDS = _NAMES.split()
