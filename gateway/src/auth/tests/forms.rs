//! Policies of browsers' forms, with signatures that were worked out by hand (Python's `hmac`).

use super::*;

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// `{"expiration": "2030-01-01T00:00:00Z", "conditions": []}`
const POLICY: &str = "eyJleHBpcmF0aW9uIjogIjIwMzAtMDEtMDFUMDA6MDA6MDBaIiwgImNvbmRpdGlvbnMiOiBbXX0=";
const IN_HEX: &str = "869b6345c61e2cd35449a21fd6a030266f122d3d7aa9c6bc3e40c9e916a6cc37";

fn verify(policy: &str, signature: PolicySignature<'_>) -> Result<Identity, AuthError> {
    let table = table(&[(KEY, SECRET)]);
    let caller = verify_policy(&*table, policy, signature, None, at(1_451_400_000))?;
    Ok(Identity::from(&caller))
}

fn v4<'a>(credential: &'a str, signature: &'a str) -> PolicySignature<'a> {
    let algorithm = "AWS4-HMAC-SHA256";
    PolicySignature::V4 { algorithm, credential, date: "20151229T000000Z", signature }
}

#[test]
fn a_policy_is_signed_in_either_way() {
    let credential = format!("{KEY}/20151229/us-east-1/s3/aws4_request");
    let signer = Identity::Key(KEY.into());
    assert_eq!(verify(POLICY, v4(&credential, IN_HEX)), Ok(signer.clone()));
    let older = |signature| PolicySignature::V2 { access_key: KEY, signature };
    assert_eq!(verify(POLICY, older("ZooyT486f8HC3m4OWUZbCvo123Q=")), Ok(signer));
    for (policy, signature) in [
        (POLICY, v4(&credential, &IN_HEX.replace('8', "9"))),
        (&POLICY[4..], v4(&credential, IN_HEX)),
        (POLICY, v4(&credential, "")),
        (POLICY, older("ZooyT486f8HC3m4OWUZbCvo123R=")),
        (POLICY, older("")),
    ] {
        let refused = verify(policy, signature);
        assert!(matches!(refused, Err(AuthError::SignatureDoesNotMatch(_))), "{refused:?}");
    }
}

#[test]
fn what_is_no_claim_is_refused_by_name() {
    let other = format!("{KEY}/20151230/us-east-1/s3/aws4_request");
    for credential in ["", KEY, &other] {
        let refused = verify(POLICY, v4(credential, IN_HEX));
        assert!(matches!(refused, Err(AuthError::AuthorizationQueryParametersError(_))));
    }
    let unknown = v4("AKIDOTHER/20151229/us-east-1/s3/aws4_request", IN_HEX);
    assert!(matches!(verify(POLICY, unknown), Err(AuthError::InvalidAccessKeyId(_))));
    let algorithm = PolicySignature::V4 {
        algorithm: "AWS4-HMAC-SHA512",
        credential: &other,
        date: "20151229T000000Z",
        signature: IN_HEX,
    };
    assert!(matches!(verify(POLICY, algorithm), Err(AuthError::InvalidArgument(_))));
}
